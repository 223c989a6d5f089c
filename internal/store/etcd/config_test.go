package etcd

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"dex/internal/config"
)

func TestConfigIsDecoded(t *testing.T) {
	section, err := config.SectionFromJSON("test", []byte(`{
		"endpoints": ["https://10.0.0.1:2379", "https://10.0.0.2:2379"], "namespace": "my/dex/",
		"username": "dex", "password": "open-sesame",
		"ssl": {"serverName": "etcd.example", "caFile": "ca.pem", "certFile": "dex.pem", "keyFile": "dex.key"}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	var got Config
	if problems := section.Decode(&got); len(problems) > 0 {
		t.Fatalf("Decode: %v", problems)
	}
	want := Config{
		Endpoints: []string{"https://10.0.0.1:2379", "https://10.0.0.2:2379"}, Namespace: "my/dex/",
		Username: "dex", Password: "open-sesame",
		SSL: SSL{ServerName: "etcd.example", CAFile: "ca.pem", CertFile: "dex.pem", KeyFile: "dex.key"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if mistakes := got.Mistakes(); len(mistakes) > 0 {
		t.Errorf("Mistakes: %v", mistakes)
	}
}

func TestMistakes(t *testing.T) {
	at := func(endpoints ...string) Config { return Config{Endpoints: endpoints} }
	secured := func(endpoint string) Config {
		return Config{Endpoints: []string{endpoint}, SSL: SSL{CAFile: "ca.pem"}}
	}
	good := "http://127.0.0.1:2379"
	for name, c := range map[string]struct {
		config Config
		want   map[string]string // a part of each mistake
	}{
		"none":               {at(good), nil},
		"no scheme":          {at("etcd.example:2379", good), nil},
		"IPv6":               {at("http://[::1]:2379"), nil},
		"trailing slash":     {at(good + "/"), nil},
		"upper case":         {at("HTTPS://etcd.example:2379"), nil},
		"TLS without scheme": {secured("etcd.example:2379"), nil},
		"only a server name": {Config{Endpoints: []string{"a:1"}, SSL: SSL{ServerName: "b"}}, nil},

		"no endpoint":     {Config{}, map[string]string{"endpoints": "2379"}},
		"empty endpoint":  {at(good, ""), map[string]string{"endpoints[1]": "host"}},
		"no port":         {at("http://etcd.example"), map[string]string{"endpoints[0]": "2379"}},
		"port 0":          {at("etcd.example:0"), map[string]string{"endpoints[0]": "65535"}},
		"large port":      {at("etcd.example:65536"), map[string]string{"endpoints[0]": "65535"}},
		"no host":         {at("http://:2379"), map[string]string{"endpoints[0]": "host"}},
		"path":            {at(good + "/v2"), map[string]string{"endpoints[0]": "host"}},
		"query":           {at(good + "?a=b"), map[string]string{"endpoints[0]": "host"}},
		"several in one":  {at(good + "," + good), map[string]string{"endpoints[0]": "address"}},
		"other scheme":    {at("etcd://etcd.example:2379"), map[string]string{"endpoints[0]": "https://"}},
		"password in it":  {at("http://root:hunter2@etcd.example:2379"), map[string]string{"endpoints[0]": "password"}},
		"control":         {at("http://root:hunter2@etcd\n:2379"), map[string]string{"endpoints[0]": "address"}},
		"http and https":  {at(good, "https://127.0.0.1:2379"), map[string]string{"endpoints[0]": "https://"}},
		"http and ssl":    {secured(good), map[string]string{"endpoints[0]": "https://"}},
		"only a username": {Config{Endpoints: []string{good}, Username: "dex"}, map[string]string{"username": "password"}},
		"only a password": {Config{Endpoints: []string{good}, Password: "hunter2"}, map[string]string{"password": "username"}},
		"only a certificate": {
			Config{Endpoints: []string{"a:1"}, SSL: SSL{CertFile: "a"}}, map[string]string{"ssl.certFile": "ssl.keyFile"},
		},
		"only a key": {
			Config{Endpoints: []string{"a:1"}, SSL: SSL{KeyFile: "a"}}, map[string]string{"ssl.keyFile": "ssl.certFile"},
		},
	} {
		got := c.config.Mistakes()
		if len(got) != len(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
		for key, part := range c.want {
			if !strings.Contains(got[key], part) {
				t.Errorf("%s: got %q for %s, want it to hold %q", name, got[key], key, part)
			}
		}
		for text := range maps.Values(got) {
			if strings.Contains(text, "hunter2") {
				t.Errorf("%s: the mistake %q tells the password", name, text)
			}
		}
	}
}

func TestEndpointsOfTheClient(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Endpoints: []string{"a:1", "http://b:2/"}}, "http://a:1, http://b:2"},
		{Config{Endpoints: []string{"a:1", "HTTPS://b:2"}}, "https://a:1, https://b:2"},
		{Config{Endpoints: []string{"[::1]:1"}, SSL: SSL{ServerName: "b"}}, "https://[::1]:1"},
	} {
		endpoints, err := c.config.endpoints()
		if err != nil || names(endpoints) != c.want {
			t.Errorf("%+v: got %s and error %v, want %s", c.config, names(endpoints), err, c.want)
		}
	}
}

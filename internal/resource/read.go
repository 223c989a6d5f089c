package resource

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/oauth"
)

const (
	// maxMessage bounds the message of a condition, in bytes.
	maxMessage = 1024
	// shortestHidden is how long a secret is at least that is looked for in messages, in bytes.
	shortestHidden = 8
)

// A reader makes of objects what they stand for.
type reader struct {
	issuer     *url.URL
	passwordDB bool // users can sign in with a password of ours
	secret     func(namespace string, ref secretRef) ([]byte, error)
}

// A reading is one object being read.
type reading struct {
	*reader
	*object
	root config.Section // its member is spec
	on   *config.Checker
	// secretErr is why a value of a Secret can't be used; the first of several.
	secretErr error
	hidden    []string // values of Secrets, which no message may have
}

// read makes the verdict on one object, without regard to others.
func (r *reader) read(o *object) verdict {
	x := &reading{reader: r, object: o}
	v := verdict{object: o, reason: reasonAccepted}
	root, err := x.section()
	if err != nil {
		v.refuse(reasonInvalid, err.Error())
		return v
	}
	x.root, x.on = root, root.Checker()
	var value any
	switch o.kind {
	case clients:
		v.client = x.client(&v)
		value = v.client
	case users:
		v.user = x.user(&v)
		value = v.user
	case connectors:
		v.definition = x.connector(&v)
		value = v.definition
	}
	x.conclude(&v)
	if v.ok() {
		v.revision, err = revisionOf(value)
		if err != nil {
			v.refuse(reasonInvalid, "spec can't be encoded")
		}
	}
	return v
}

// revisionOf returns a text that differs when a value does.
func revisionOf(value any) (string, error) {
	text, err := json.Marshal(value)
	sum := sha256.Sum256(text)
	return "resource:" + hex.EncodeToString(sum[:]), err
}

// conclude words what was found.
func (x *reading) conclude(v *verdict) {
	found := x.on.Problems()
	switch err := found.Err(); {
	case v.reason != reasonAccepted:
	case err != nil:
		v.refuse(reasonInvalid, x.text(mistakes(err)))
	case x.secretErr != nil:
		v.refuse(reasonSecret, x.text(config.Problems{{Message: x.secretErr.Error()}}))
		v.awaitsSecret = true
	default:
		v.message = "in use"
		if len(found) > 0 {
			v.message += "; " + x.text(found)
		}
	}
	if !v.ok() {
		v.refuse(v.reason, v.message)
	}
}

func mistakes(err error) config.Problems {
	invalid, _ := errors.AsType[*config.InvalidError](err)
	return invalid.Problems
}

// text returns problems as one line, without what came from Secrets.
func (x *reading) text(found config.Problems) string {
	lines := make([]string, len(found))
	for i, p := range found {
		lines[i] = p.String()
	}
	text := strings.Join(lines, "; ")
	for _, hidden := range x.hidden {
		if len(hidden) >= shortestHidden { // a shorter one would be found by chance, and told by that
			text = strings.ReplaceAll(text, hidden, "***")
		}
	}
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// section returns the spec as a section of settings, with values of Secrets in the settings of a connector.
func (x *reading) section() (config.Section, error) {
	d := json.NewDecoder(bytes.NewReader(x.Spec))
	d.UseNumber()
	var spec map[string]any
	if len(x.Spec) > 0 {
		if err := d.Decode(&spec); err != nil {
			return config.Section{}, errors.New("spec is not an object")
		}
	}
	if settings, ok := spec["config"].(map[string]any); ok && x.kind == connectors {
		x.fillIn(settings)
	}
	text, err := json.Marshal(map[string]any{"spec": spec})
	if err != nil {
		return config.Section{}, err
	}
	return config.SectionFromJSON("", text)
}

// fillIn puts values of Secrets into the settings of a connector. References elsewhere are left for the check of the settings to
// find.
func (x *reading) fillIn(settings map[string]any) {
	for _, key := range secretKeys {
		ref, ok := refOf(settings[key])
		if !ok {
			continue
		}
		value := x.value("spec.config."+key, ref)
		if strings.HasSuffix(key, "Data") {
			value = base64.StdEncoding.EncodeToString([]byte(value))
			x.hidden = append(x.hidden, value)
		} else if line := strings.TrimRight(value, "\r\n"); !strings.ContainsAny(line, "\r\n") {
			value = line // tools that make Secrets of files leave a line end
		}
		settings[key] = value
	}
}

// value returns the value that a reference names; a stand-in, and an error for the verdict, where there is none.
func (x *reading) value(key string, ref secretRef) string {
	value, err := x.secret(x.Metadata.Namespace, ref)
	if err != nil {
		if x.secretErr == nil {
			x.secretErr = fmt.Errorf("%s: %w", key, err)
		}
		return "unavailable"
	}
	short := strings.TrimSpace(string(value))
	quoted := strconv.Quote(short)
	x.hidden = append(x.hidden, string(value), short, quoted[1:len(quoted)-1])
	return string(value)
}

// notInside reports a secret that stands in the object itself.
func (x *reading) notInside(member, ref string) {
	if x.root.Has("spec." + member) {
		x.on.Errorf("spec."+member, "must not stand in the object, which more people may read than Secrets; use %s: {name, key}", ref)
	}
}

// A clientSpec is the spec of a DexClient.
type clientSpec struct {
	client.Client

	SecretRef         *secretRef `key:"secretRef"`
	PreviousSecretRef *secretRef `key:"previousSecretRef"`
}

func (x *reading) client(v *verdict) *client.Client {
	var s clientSpec
	spec := x.root.At("spec")
	x.on.Decode(spec, &s)
	x.notInside("secret", "secretRef")
	x.notInside("previousSecret", "previousSecretRef")
	own := cmp.Or(s.ID, x.Metadata.Name)
	if !x.home {
		own = x.Metadata.Namespace + "." + x.Metadata.Name
		x.tenant(v, &s, spec, own)
	}
	s.ID = own
	v.key, v.shown = s.ID, s.ID
	if oauth.TooLong("client_id", s.ID) {
		x.on.Errorf("spec.id", "is longer than applications may send it")
	}
	switch {
	case s.SecretRef != nil:
		s.Secret = x.clientSecret("spec.secretRef", *s.SecretRef)
	case !s.Public:
		x.on.Errorf("spec.secretRef", "is required, or public: true")
		x.on.Break("spec.secret")
	}
	if s.PreviousSecretRef != nil {
		s.PreviousSecret = x.clientSecret("spec.previousSecretRef", *s.PreviousSecretRef)
	}
	s.Check(x.on, "spec")
	return &s.Client
}

// tenant holds a client to what other namespaces may say.
func (x *reading) tenant(v *verdict, s *clientSpec, spec config.Section, id string) {
	bounds := x.root.Checker()
	if s.ID != "" && s.ID != id {
		bounds.Errorf("spec.id", "must be %q, or left out: the ID of a client in this namespace begins with the namespace", id)
	}
	s.checkTenant(bounds, spec, x.object, x.issuer)
	if err := bounds.Problems().Err(); err != nil {
		v.refuse(reasonNotAllowed, x.text(mistakes(err)))
	}
}

// clientSecret returns a secret that applications show. A line end in it would be a riddle: some send it too, others don't.
func (x *reading) clientSecret(key string, ref secretRef) string {
	value := x.value(key, ref)
	switch {
	case x.secretErr != nil:
	case strings.ContainsAny(value, "\r\n"):
		x.secretErr = fmt.Errorf("%s: the key %q of the Secret %q has a line end; make it without, as printf does and echo doesn't", key, ref.Key, ref.Name)
	case oauth.TooLong("client_secret", value):
		x.secretErr = fmt.Errorf("%s: the key %q of the Secret %q is longer than applications may send it", key, ref.Key, ref.Name)
	}
	return value
}

// A userSpec is the spec of a DexUser.
type userSpec struct {
	local.User

	SecretRef *secretRef `key:"secretRef"`
}

func (x *reading) user(v *verdict) *local.User {
	var s userSpec
	x.on.Decode(x.root.At("spec"), &s)
	x.notInside("hash", "secretRef")
	v.key, v.shown = local.Key(s.Email), s.Email
	x.on.Required("spec.userID", s.UserID, "part of how applications identify the user, so it must never change")
	if s.SecretRef == nil {
		x.on.Errorf("spec.secretRef", "is required: the name and the key of a Secret with a hash, as dex hash-password prints it")
		x.on.Break("spec.hash")
	} else if text := x.value("spec.secretRef", *s.SecretRef); x.secretErr == nil {
		s.Hash = local.ParseHash(text)
	} else {
		x.on.Break("spec.hash")
	}
	s.Check(x.on, "spec")
	if !x.passwordDB {
		v.refuse(reasonDisabled, "users can't sign in with a password of Dex, as the configuration doesn't have enablePasswordDB: true")
	}
	return &s.User
}

// A connectorSpec is the spec of a DexConnector.
type connectorSpec struct {
	federation.Definition

	Settings config.Section `key:"config"`
}

func (x *reading) connector(v *verdict) *federation.Definition {
	var s connectorSpec
	x.on.Decode(x.root.At("spec"), &s)
	s.ID = cmp.Or(s.ID, x.Metadata.Name)
	s.Name = cmp.Or(s.Name, s.ID)
	v.key, v.shown = s.ID, s.ID
	if s.ID == federation.LocalID {
		x.on.Errorf("spec.id", "%q is the ID of the password database (enablePasswordDB: true)", s.ID)
	}
	if x.secretErr != nil {
		return nil // the settings can't be checked
	}
	x.misplacedRefs(s.Settings)
	s.Check(x.on, "spec", s.Settings)
	if !s.Settings.IsZero() {
		var err error
		if s.Definition.Settings, err = s.Settings.JSON(); err != nil {
			x.on.Errorf("spec.config", "can't be encoded")
		}
	}
	s.CheckCallback(x.on, "spec.config.redirectURI", x.issuer)
	return &s.Definition
}

// misplacedRefs reports references where no value of a Secret may stand.
func (x *reading) misplacedRefs(settings config.Section) {
	var all map[string]any
	if text, err := settings.JSON(); err != nil || json.Unmarshal(text, &all) != nil {
		return
	}
	for key, setting := range all {
		if _, ok := refOf(setting); ok && !slices.Contains(secretKeys, key) {
			x.on.Errorf("spec.config."+key, "can't come from a Secret; these can: %s", config.Quoted(secretKeys))
			x.on.Break("spec.config." + key)
		}
	}
}

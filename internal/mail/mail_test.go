package mail_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/event"
	"dex/internal/mail"
	"dex/internal/mail/mailtest"
)

func sender(t *testing.T, s *mailtest.Server, change func(*mail.Config)) *mail.Sender {
	t.Helper()
	cfg := mail.Config{From: "Dex <no-reply@dex.test>", Host: "127.0.0.1", Port: s.Port, Security: mail.StartTLS, Roots: s.Roots}
	if change != nil {
		change(&cfg)
	}
	made, err := mail.NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func hello() *mail.Message {
	return &mail.Message{To: "jane@example.com", UserID: "1", Subject: "Grüße", Text: "a line\n.\n" + strings.Repeat("x", 2000), HTML: "<p>é</p>", Language: "de"}
}

func TestSend(t *testing.T) {
	for _, c := range []struct {
		name, security, mechs string
		login                 bool
	}{
		{"STARTTLS", mail.StartTLS, "", false},
		{"STARTTLS with a password", mail.StartTLS, "", true},
		{"TLS with a password", mail.TLS, "", true},
		{"TLS with the older way to show a password", mail.TLS, "LOGIN", true},
		{"plain text", mail.Plain, "", false},
		{"plain text with a password, on this machine", mail.Plain, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := mailtest.Start(t, mailtest.Settings{Security: c.security, Mechs: c.mechs})
			s := sender(t, server, func(cfg *mail.Config) {
				cfg.Security = c.security
				if c.login {
					cfg.Username, cfg.Password = "dex", "secret"
				}
			})
			sent := hello()
			if err := s.Send(t.Context(), sent); err != nil {
				t.Fatal(err)
			}
			got := server.Next(t)
			if got.From != "no-reply@dex.test" || got.To != sent.To || got.Subject != sent.Subject || strings.TrimSpace(got.Text) != sent.Text ||
				strings.TrimSpace(got.HTML) != sent.HTML || got.Encrypted != (c.security != mail.Plain) || (got.Login == "dex:secret") != c.login {
				t.Errorf("got %+v", got)
			}
			for name, want := range map[string]string{
				"From": `"Dex" <no-reply@dex.test>`, "To": "<jane@example.com>", "Auto-Submitted": "auto-generated", "Content-Language": "de",
				"X-Mailer": "", "User-Agent": "",
			} {
				if value := got.Header.Get(name); value != want {
					t.Errorf("%s is %q, want %q", name, value, want)
				}
			}
			if id := got.Header.Get("Message-ID"); !strings.HasSuffix(id, "@dex.test>") {
				t.Errorf("the id is %s", id)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name      string
		set       mailtest.Settings
		change    func(*mail.Config)
		permanent bool
		says      string
	}{
		{name: "no STARTTLS", set: mailtest.Settings{Answers: map[string]string{"EHLO": "none"}}, says: "does not support STARTTLS"},
		{name: "STARTTLS refused", set: mailtest.Settings{Answers: map[string]string{"STARTTLS": "454 not now"}}, says: `454 "not now"`},
		{name: "another authority", change: func(c *mail.Config) { c.Roots = nil }, permanent: true, says: "certificate"},
		{name: "another name", change: func(c *mail.Config) { c.Host = "localhost" }, permanent: true, says: "certificate"},
		{name: "wrong password", set: mailtest.Settings{Answers: map[string]string{"AUTH": "535 5.7.8 no"}}, change: withPassword, permanent: true, says: "535"},
		{name: "no known way to show a password", set: mailtest.Settings{Mechs: "NTLM"}, change: withPassword, permanent: true, says: "SCRAM-SHA-256, PLAIN"},
		{name: "busy", set: mailtest.Settings{Answers: map[string]string{"greeting": "421 busy"}}, says: `421 "busy"`},
		{name: "sender refused", set: mailtest.Settings{Answers: map[string]string{"MAIL": "550 who?"}}, permanent: true, says: `550 "who?"`},
		{
			name: "address refused, and repeated", set: mailtest.Settings{Answers: map[string]string{"RCPT": "550 5.1.1 <Jane@Example.com>: no such user"}},
			permanent: true, says: "<…>: no such user",
		},
		{name: "greylisted", set: mailtest.Settings{Answers: map[string]string{"RCPT": "451 4.7.1 come again"}}, says: "come again"},
		{name: "text refused", set: mailtest.Settings{Answers: map[string]string{"end of DATA": "554 spam"}}, permanent: true, says: `554 "spam"`},
		{name: "says too much", set: mailtest.Settings{Answers: map[string]string{"greeting": "220 " + strings.Repeat("x", 2<<20)}}, says: "says too much"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.set.Security = mail.StartTLS
			server := mailtest.Start(t, c.set)
			err := sender(t, server, c.change).Send(t.Context(), hello())
			_, permanent := errors.AsType[*mail.PermanentError](err)
			if err == nil || permanent != c.permanent || !strings.Contains(err.Error(), c.says) || strings.Contains(strings.ToLower(err.Error()), "jane@") {
				t.Errorf("got %v, permanent %t", err, permanent)
			}
			server.None(t)
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		s := sender(t, &mailtest.Server{Port: 1}, nil)
		if err := s.Send(t.Context(), hello()); err == nil {
			t.Error("no error")
		}
	})
	t.Run("hangs", func(t *testing.T) {
		server := mailtest.Start(t, mailtest.Settings{Security: mail.StartTLS, Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := sender(t, server, nil).Send(ctx, hello()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a password in plain text", func(t *testing.T) {
		if _, err := mail.NewSender(mail.Config{From: "a@b.test", Host: "mail.test", Security: mail.Plain, Username: "a", Password: "b"}); err == nil {
			t.Error("is sent")
		}
	})
}

func withPassword(c *mail.Config) { c.Username, c.Password = "dex", "secret" }

// A mail that was taken is sent, whatever the server does then: another try would send it twice.
func TestTakenIsSent(t *testing.T) {
	server := mailtest.Start(t, mailtest.Settings{Security: mail.StartTLS, Answers: map[string]string{"RSET": "500 no", "QUIT": "500 no"}})
	if err := sender(t, server, nil).Send(t.Context(), hello()); err != nil {
		t.Error(err)
	}
	server.Next(t)
}

func TestNothingGetsIntoHeaders(t *testing.T) {
	for _, to := range []string{
		"", "jane", "Jane <jane@example.com>", "jane@example.com\r\nBcc: eve@example.com", "jane@example.com, eve@example.com",
		"jane@example.com(a comment)", "\"jane\r\n\"@example.com", strings.Repeat("a", 250) + "@example.com", " jane@example.com",
	} {
		if a, err := mail.Address(to); err == nil {
			t.Errorf("%q is an address: %v", to, a)
		}
	}
	for _, to := range []string{"jane@example.com", "jane+x@mail.example.com", "jané@example.com", "o'jane@example.com"} {
		if _, err := mail.Address(to); err != nil {
			t.Errorf("%q is none: %v", to, err)
		}
	}
	server := mailtest.Start(t, mailtest.Settings{Security: mail.StartTLS})
	m := hello()
	m.Subject = "Hello\r\nBcc: eve@example.com\r\n\r\nbody"
	if err := sender(t, server, nil).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := server.Next(t); got.Header.Get("Bcc") != "" || got.Subject != "Hello  Bcc: eve@example.com    body" {
		t.Errorf("got %q", got.Header)
	}
}

// A recorder keeps events.
type recorder struct {
	mu   sync.Mutex
	seen []event.Event
}

func (r *recorder) Emit(_ context.Context, e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, e)
}

func (r *recorder) kinds() (kinds []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.seen {
		switch e := e.(type) {
		case event.MailSent:
			kinds = append(kinds, "sent")
		case event.MailFailed:
			kinds = append(kinds, "failed")
		case event.MailGivenUp:
			kinds = append(kinds, "given up: "+e.Err.Error())
		}
	}
	return kinds
}

func run(t *testing.T, sender func() (*mail.Sender, error)) (*mail.Queue, *recorder, func()) {
	events := &recorder{}
	q := mail.NewQueue(mail.QueueConfig{Sender: sender, Events: events, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { q.Run(ctx); close(ended) }()
	return q, events, func() { cancel(); <-ended }
}

func nobody() (*mail.Sender, error) { return nil, errors.New("no server") }

func TestTries(t *testing.T) {
	failing := errors.New("no")
	for _, c := range []struct {
		name  string
		write func(try int) (*mail.Message, error)
		want  []string
		took  time.Duration
	}{
		{"nothing to send", func(int) (*mail.Message, error) { return nil, nil }, nil, 0},
		{"fails for good", func(int) (*mail.Message, error) { return nil, failing }, []string{"failed", "failed", "given up: no"}, 35 * time.Second},
		{"fails twice", func(try int) (*mail.Message, error) {
			if try < 3 {
				return nil, failing
			}
			return nil, nil
		}, []string{"failed", "failed"}, 35 * time.Second},
		{"permanently", func(int) (*mail.Message, error) { return nil, &mail.PermanentError{Err: failing} }, []string{"given up: no"}, 0},
		{"panics", func(int) (*mail.Message, error) { panic("oh") }, []string{"given up: panic: oh"}, 0},
		{"no server any more", func(int) (*mail.Message, error) { return hello(), nil }, []string{"given up: no server"}, 0},
		{"too slow", func(int) (*mail.Message, error) { time.Sleep(5 * time.Minute); return nil, failing }, []string{"given up: no"}, 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, events, end := run(t, nobody)
				began, ended, tries := time.Now(), time.Now(), 0
				err := q.Add(t.Context(), mail.Job{What: "test", Write: func(context.Context) (*mail.Message, error) {
					tries++
					m, err := c.write(tries)
					ended = time.Now()
					return m, err
				}})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				end()
				if got := events.kinds(); !slices.Equal(got, c.want) || ended.Sub(began) != c.took {
					t.Errorf("got %q after %s", got, ended.Sub(began))
				}
			})
		})
	}
}

// The queue takes a bounded number of mails, and has room again once they are sent.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, events, end := run(t, nobody)
		release := make(chan struct{})
		job := mail.Job{Write: func(context.Context) (*mail.Message, error) { <-release; return nil, nil }}
		for i := range 100 {
			if err := q.Add(t.Context(), job); err != nil {
				t.Fatalf("%d: %v", i, err)
			}
		}
		synctest.Wait()
		if err := q.Add(t.Context(), job); !errors.Is(err, mail.ErrFull) {
			t.Errorf("got %v", err)
		}
		close(release)
		synctest.Wait()
		if err := q.Add(t.Context(), job); err != nil {
			t.Error(err)
		}
		end()
		if len(events.kinds()) > 0 {
			t.Errorf("got %q", events.kinds())
		}
	})
}

// What is on its way when the process ends has a few seconds, and what waits for another try has none.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, events, end := run(t, nobody)
		failing := mail.Job{Write: func(context.Context) (*mail.Message, error) { return nil, errors.New("no") }}
		slow := func(d time.Duration) mail.Job {
			return mail.Job{Write: func(ctx context.Context) (*mail.Message, error) {
				select {
				case <-time.After(d):
					return nil, nil
				case <-ctx.Done():
					return nil, errors.New("cut off")
				}
			}}
		}
		for _, j := range []mail.Job{failing, slow(3 * time.Second), slow(time.Minute)} {
			if err := q.Add(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		began := time.Now()
		end()
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %s", took)
		}
		got := events.kinds()
		slices.Sort(got)
		if want := []string{"failed", "failed", "given up: cut off", "given up: no"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

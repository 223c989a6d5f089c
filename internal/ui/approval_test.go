package ui_test

import (
	"slices"
	"strings"
	"testing"

	"dex/internal/ui"
)

func TestApprovalHooks(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	doc := document(t, approvalPage(u, ui.ApprovalPage{User: "jane", Client: "Grafana", AuthReqID: "req-1"}))
	forms := tags(one(t, "panel", byClass(doc, "theme-panel")), "form")
	if len(forms) != 2 {
		t.Fatalf("%d forms, want 2", len(forms))
	}
	for i, want := range []string{"approve", "rejected"} {
		fields := map[string]string{}
		for _, input := range tags(forms[i], "input") {
			fields[attr(input, "name")] = attr(input, "value")
		}
		if fields["req"] != "req-1" || fields["approval"] != want {
			t.Errorf("form %d has %v", i, fields)
		}
		if attr(forms[i], "method") != "post" || hasAttr(forms[i], "action") {
			t.Errorf("form %d doesn't post to the page's own URL: %v", i, forms[i].Attr)
		}
		button := one(t, "button", tags(forms[i], "button"))
		if attr(button, "type") != "submit" || !hasClass(button, "dex-btn") {
			t.Errorf("button %v", button.Attr)
		}
	}
	grant := one(t, "grant", byClass(doc, "theme-btn--success"))
	if enclosing(grant, "form") != forms[0] || text(one(t, "text", byClass(grant, "dex-btn-text"))) != "Grant Access" {
		t.Errorf("grant button says %q", text(grant))
	}
}

func TestApprovalTellsWhoGetsWhat(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	page := ui.ApprovalPage{
		User: "Jane Doe", Email: "jane@example.com", Connector: "LDAP", Client: "Grafana", AuthReqID: "x",
		OtherAccountURL: "/dex/auth?prompt=select_account", ClientLogoURL: "https://grafana.example/logo.svg",
		RequestedScopes: []string{"openid", "groups", "email", "audience:server:client_id:kube", "billing", "offline_access",
			"federated:id", "profile", "email", "audience:server:client_id:vault", "audience:server:client_id:grafana"},
		ClientID: "grafana", ClientNames: map[string]string{"kube": "Kubernetes", "grafana": "Grafana"},
	}
	doc := document(t, approvalPage(u, page))
	for _, want := range []string{"Jane Doe", "jane@example.com", "with LDAP", "Grafana", "Use another account"} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("page doesn't say %q", want)
		}
	}
	var names []string
	for _, item := range tags(one(t, "list", byClass(doc, "dex-list")), "strong") {
		names = append(names, text(item))
	}
	if want := []string{
		"See your name", "See your email address", "See your groups", "See which account you logged in with", "Keep access while you’re away",
		"Use “Kubernetes” on your behalf", "Use “vault” on your behalf", "Use “billing”",
	}; !slices.Equal(names, want) {
		t.Errorf("permissions %q, want %q", names, want)
	}
	for _, want := range []string{"“Kubernetes”", "“vault”", "“billing”", "your groups", "your email", "your name", "which account"} {
		if !strings.Contains(strings.Join(names, "\n"), want) {
			t.Errorf("no permission names %s in %q", want, names)
		}
	}
	if got := attr(one(t, "logo", byClass(doc, "dex-client-logo")), "src"); got != page.ClientLogoURL {
		t.Errorf("logo %q", got)
	}

	if got := text(one(t, "letter", byClass(doc, "dex-client__letter"))); got != "G" {
		t.Errorf("without its logo the application is %q", got)
	}

	page.RequestedScopes = []string{"openid"}
	for _, link := range []string{"", "http://grafana.example/l.png", "javascript:alert(1)", "data:image/png;base64,AA=="} {
		page.ClientLogoURL = link
		doc = document(t, approvalPage(u, page))
		if len(byClass(doc, "dex-client-logo")) != 0 {
			t.Errorf("logo %q is shown", link)
		}
	}
	if len(byClass(doc, "dex-list")) != 0 || !strings.Contains(text(doc), "only learns that you’ve logged in") {
		t.Error("page doesn't say that nothing personal is asked")
	}
}

// Two applications of one name are told apart, so that nobody lets one have what they mean for the other.
func TestApplicationsOfOneName(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	page := document(t, approvalPage(u, ui.ApprovalPage{
		Client: "Wiki", RequestedScopes: []string{"audience:server:client_id:a", "audience:server:client_id:b", "audience:server:client_id:c"},
		ClientNames: map[string]string{"a": "Files", "b": "Files", "c": "Mail"},
	}))
	var got []string
	for _, name := range tags(page, "strong") {
		got = append(got, text(name))
	}
	if want := "Use “Mail” on your behalf, Use “a” on your behalf, Use “b” on your behalf"; strings.Join(got, ", ") != want {
		t.Errorf("it asks for %q, want %s", got, want)
	}
}

package app_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// An expression is one of PromQL, and what shows its results.
type expression struct {
	where, text string
	shown       []string // texts with the labels of the results
}

var (
	promName = regexp.MustCompile(`[a-z_]+[a-z0-9_]*`)
	// promSelector is a metric, and the labels by which it is selected. What precedes a parenthesis is a function.
	promSelector = regexp.MustCompile(`\b((?:dex|http|request|response|process|grpc)_[a-z_]+)(\{[^}]*\})?`)
	promBy       = regexp.MustCompile(`by \(([^)]*)\)`)
	promMatcher  = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	templated    = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}`)
)

// Alerts and dashboard ask only for metrics and labels that the program has.
func TestMonitoringAsksForWhatThereIs(t *testing.T) {
	known := describedMetrics(everyMetric(t))
	for _, e := range append(alertExpressions(t), panelExpressions(t)...) {
		for _, problem := range e.check(known) {
			t.Errorf("%s: %s", e.where, problem)
		}
	}
	for text, want := range map[string]string{
		`rate(dex_made_up_total[5m])`:                                 "no metric dex_made_up_total",
		`dex_logins_total{user="x"}`:                                  "dex_logins_total has no label user",
		`sum by (user) (dex_logins_total)`:                            "no metric has the label user",
		`rate(dex_logins_total_bucket[5m])`:                           "no metric dex_logins_total_bucket",
		`sum by (connector, le) (dex_source_duration_seconds_bucket)`: "",
	} {
		if got := strings.Join(expression{text: text}.check(known), ", "); got != want {
			t.Errorf("of %s the check says %q, want %q", text, got, want)
		}
	}
}

// check returns what an expression asks for and the program doesn't have.
func (e expression) check(known map[string][]string) (problems []string) {
	has := []string{"instance", "job"} // which Prometheus adds
	all := promSelector.FindAllStringSubmatch(e.text, -1)
	if len(all) == 0 {
		problems = append(problems, "no metric")
	}
	for _, selector := range all {
		labels, ok := known[selector[1]]
		if base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(selector[1], ""); !ok && strings.HasSuffix(base, "_seconds") ||
			!ok && strings.HasSuffix(base, "_bytes") {
			labels, ok = known[base]
			has = append(has, "le")
		}
		if !ok && !strings.HasPrefix(selector[1], "process_") {
			problems = append(problems, "no metric "+selector[1])
		}
		has = append(has, labels...)
		for _, matcher := range promMatcher.FindAllStringSubmatch(selector[2], -1) {
			if !slices.Contains(append(labels, "job", "instance"), matcher[1]) {
				problems = append(problems, selector[1]+" has no label "+matcher[1])
			}
		}
	}
	by := []string{"instance"}
	for _, list := range promBy.FindAllStringSubmatch(e.text, -1) {
		for _, label := range promName.FindAllString(list[1], -1) {
			by = append(by, label)
			if !slices.Contains(has, label) && len(problems) == 0 {
				problems = append(problems, "no metric has the label "+label)
			}
		}
	}
	for _, text := range e.shown {
		for _, label := range templated.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(by, label[1]) {
				problems = append(problems, "the results have no label "+label[1])
			}
		}
	}
	return problems
}

func alertExpressions(t *testing.T) (found []expression) {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations struct{ Summary, Description string }
			}
		}
	}
	readMonitoring(t, "alerts.yaml", &rules, yaml.Unmarshal)
	cases, err := os.ReadFile("../../deploy/monitoring/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		found = append(found, expression{"alert " + r.Alert, r.Expr, []string{r.Annotations.Summary, r.Annotations.Description}})
		if r.Annotations.Summary == "" || len(r.Annotations.Description) < 20 || r.Labels["severity"] == "" {
			t.Errorf("the alert %s says too little", r.Alert)
		}
		if !strings.Contains(string(cases), "alertname: "+r.Alert+"\n") {
			t.Errorf("the alert %s has no test", r.Alert)
		}
	}
	return found
}

func panelExpressions(t *testing.T) (found []expression) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	readMonitoring(t, "dashboard.json", &dashboard, json.Unmarshal)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			found = append(found, expression{fmt.Sprintf("panel %q", p.Title), target.Expr, []string{target.LegendFormat}})
		}
	}
	if len(found) < 10 {
		t.Fatalf("the dashboard has %d panels", len(found))
	}
	return found
}

func readMonitoring(t *testing.T, name string, to any, decode func([]byte, any) error) {
	t.Helper()
	data, err := os.ReadFile("../../deploy/monitoring/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := decode(data, to); err != nil {
		t.Fatal(name, err)
	}
}

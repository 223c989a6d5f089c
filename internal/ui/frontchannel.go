package ui

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A FrontchannelPage has the browser tell applications of a logout (OpenID Connect Front-Channel Logout 1.0), and then leads on.
type FrontchannelPage struct {
	Frames  []Frame
	NextURL string // where to go afterwards, checked
}

// A Frame loads an application's address for front-channel logout.
type Frame struct {
	URL    string // with http or https; others are left out
	Client string // display name of the application
}

// refreshAfter is when browsers without JavaScript go on, in seconds.
const refreshAfter = 5

// Frontchannel shows the page with the frames. With JavaScript it leads on when all have loaded, or after 3 seconds.
func (u *UI) Frontchannel(w http.ResponseWriter, r *http.Request, p FrontchannelPage) {
	p.Frames = loadable(p.Frames)
	d := newFrontchannelData(u.newPage(r, "Log out"), p)
	h := w.Header()
	if policy := h.Get("Content-Security-Policy"); policy != "" {
		h.Set("Content-Security-Policy", allowFrames(policy, origins(d.Frames)))
	}
	if d.Next != "" {
		// A header, not an element, so that no template of the operator's can lose it.
		h.Set("Refresh", fmt.Sprintf("%d; url=%s", refreshAfter, d.Next))
	}
	u.render(w, r, http.StatusOK, frontchannelView, d)
}

var frontchannelView = declare("logout_frames.html", func(base page) []sample {
	// The frames have no address, as the policy of a sample allows none.
	return []sample{{"two applications", newFrontchannelData(base, FrontchannelPage{
		Frames: []Frame{{Client: "Wiki"}, {Client: "Files"}}, NextURL: base.ReqPath,
	})}}
})

type frontchannelData struct {
	page
	FrontchannelPage
	Next template.URL // NextURL; empty if that is a script
}

func newFrontchannelData(base page, p FrontchannelPage) frontchannelData {
	base.back = "" // shown again, it would say that nobody was logged in
	return frontchannelData{base, p, (&FormPostPage{URL: p.NextURL}).action()}
}

// loadable returns the frames that pages load, with tidy names.
func loadable(frames []Frame) []Frame {
	var kept []Frame
	for _, f := range frames {
		if originOf(f.URL) != "" {
			kept = append(kept, Frame{f.URL, tidied(f.Client)})
		}
	}
	return kept
}

// plainHost is a host with an optional port. Anything else could end a directive of a policy and begin another.
var plainHost = regexp.MustCompile(`^(?i:[a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?$`)

// originOf returns the origin of a frame's address; empty if pages don't load it.
func originOf(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || !plainHost.MatchString(u.Host) {
		return ""
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

func origins(frames []Frame) []string {
	var found []string
	for _, f := range frames {
		found = append(found, originOf(f.URL))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// allowFrames returns a content security policy, the default one or the operator's, that also allows frames from some origins.
func allowFrames(policy string, origins []string) string {
	if len(origins) == 0 {
		return policy
	}
	policies := strings.Split(policy, ",") // a list, of which browsers apply all
	for i, p := range policies {
		policies[i] = allowFramesIn(p, origins)
	}
	return strings.Join(policies, ",")
}

// allowFramesIn does that for one policy. What it says about frames may stand in a directive about more (CSP Level 3, section 6.8.3).
func allowFramesIn(policy string, origins []string) string {
	directives := strings.Split(policy, ";")
	for _, name := range []string{"frame-src", "child-src", "default-src"} {
		for i, directive := range directives {
			fields := strings.Fields(directive)
			if len(fields) == 0 || !strings.EqualFold(fields[0], name) {
				continue
			}
			sources := slices.DeleteFunc(fields[1:], func(s string) bool { return strings.EqualFold(s, "'none'") })
			frames := " frame-src " + strings.Join(slices.Concat(sources, origins), " ")
			if name == "frame-src" {
				directives[i] = frames
			} else {
				directives = append(directives, frames)
			}
			return strings.Join(directives, ";")
		}
	}
	return policy // which allows all frames
}

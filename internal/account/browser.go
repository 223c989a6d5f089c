package account

import "strings"

// longestAgent is how much is shown of what a browser calls itself, in bytes, where its name isn't known.
const longestAgent = 60

// A mark is a word in what browsers call themselves, and what it stands for.
type mark struct{ word, name string }

// browsers are in an order in which the first that matches is right: most of them also claim to be those after them.
var browsers = []mark{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"Vivaldi/", "Vivaldi"}, {"SamsungBrowser/", "Samsung Internet"},
	{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
}

var systems = []mark{
	{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"},
	{"Macintosh", "Mac"}, {"Linux", "Linux"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"},
}

// browserOf returns the names of a browser and of its system. Where the browser isn't known, its name is the beginning of what it calls
// itself, and the system empty.
func browserOf(agent string) (browser, system string) {
	browser, system = find(browsers, agent), find(systems, agent)
	if browser != "" {
		return browser, system
	}
	if len(agent) > longestAgent {
		agent = strings.ToValidUTF8(agent[:longestAgent], "") + "…"
	}
	return agent, ""
}

func find(marks []mark, agent string) string {
	for _, m := range marks {
		if strings.Contains(agent, m.word) {
			return m.name
		}
	}
	return ""
}

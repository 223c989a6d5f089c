// What the tests ask a page in the browser. Each check returns sentences about what is wrong, none if nothing is.
"use strict";
globalThis.checks = (() => {
  const slack = 1; // CSS pixels that rounding may take

  const name = (e) => {
    const text = (e.innerText || e.value || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return e.localName + (e.id ? "#" + e.id : "") + [...e.classList].map((c) => "." + c).join("") + (text ? ` "${text}"` : "");
  };
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !e.closest(".dex-unseen");
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const controls = () => all("a[href], button, input:not([type=hidden]), select, textarea, summary");
  const ancestors = (e) => (e ? [e, ...ancestors(e.parentElement)] : []);
  const boxes = (e) => ancestors(e).filter((a) => a !== document.body && a !== document.documentElement);
  const stuck = (e) => boxes(e).find((a) => getComputedStyle(a).position === "sticky");
  const meet = (a, b, by) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > by && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > by;

  // Lines of text that a person sees, with their place.
  const lines = () => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      const parent = node.parentElement;
      if (!node.data.trim() || parent.closest("script, style, noscript, select") || !shown(parent)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const rect of range.getClientRects()) {
        if (rect.width > 0 && rect.height > 0) found.push({ node, parent, rect, text: node.data.trim().slice(0, 40) });
      }
    }
    return found;
  };

  // Whether a line leaves a box, or is cut off by it.
  const leaves = (line, box) => {
    const style = getComputedStyle(box);
    if (style.display.startsWith("inline") && style.display !== "inline-flex") return "";
    const r = box.getBoundingClientRect();
    if (line.rect.left < r.left - slack || line.rect.right > r.right + slack) {
      return style.overflowX === "visible" ? "sticks out at the side of" : "is cut at the side by";
    }
    const scrolls = /auto|scroll/.test(style.overflowY);
    const past = line.rect.height / 4; // glyphs' boxes are higher than tight lines
    if (!scrolls && (line.rect.top < r.top - past || line.rect.bottom > r.bottom + past)) {
      return style.overflowY === "visible" ? "sticks out above or below" : "is cut above or below by";
    }
    return "";
  };

  // Nothing is wider than the window or leaves its box.
  const fits = () => {
    const wrong = [];
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) {
      const wide = [...document.body.querySelectorAll("*")].filter((e) => {
        const r = e.getBoundingClientRect();
        return shown(e) && r.width > 0 && (r.right > width + slack || r.left < -slack);
      });
      wrong.push(`the page scrolls sideways, ${document.documentElement.scrollWidth} px in ${width}: ${wide.slice(0, 3).map(name)}`);
    }
    for (const line of lines()) {
      for (const box of boxes(line.parent)) {
        const how = leaves(line, box);
        if (how) {
          wrong.push(`"${line.text}" ${how} ${name(box)}`);
          break;
        }
        if (getComputedStyle(box).position === "absolute") break;
      }
    }
    for (const e of all("button, a.dex-btn, select, label, h1, h2")) {
      if (e.scrollWidth > e.clientWidth + slack && e.clientWidth > 0) wrong.push(`${name(e)} is wider than its box`);
    }
    return [...new Set(wrong)];
  };

  // Nothing lies over anything else. What sticks to the window's edge may.
  const overlaps = () => {
    const wrong = [];
    const texts = lines().filter((l) => !l.parent.closest("[aria-hidden=true]"));
    texts.forEach((a, i) => {
      for (const b of texts.slice(i + 1)) {
        // Hardly any two lines meet, and styles take the browser longest.
        if (a.node !== b.node && meet(a.rect, b.rect, Math.min(a.rect.height, b.rect.height) / 3) && stuck(a.parent) === stuck(b.parent)) {
          wrong.push(`"${a.text}" and "${b.text}" overlap`);
        }
      }
    });
    const hit = controls().map((e) => ({ e, rect: e.getBoundingClientRect() }));
    hit.forEach((a, i) => {
      for (const b of hit.slice(i + 1)) {
        if (!meet(a.rect, b.rect, slack)) continue;
        // A button may stand in a field, whose padding keeps what is typed clear of it.
        const within = a.e.parentElement === b.e.parentElement && a.e.localName === "input" && b.e.localName === "button";
        if (!within && !a.e.contains(b.e) && stuck(a.e) === stuck(b.e)) wrong.push(`${name(a.e)} and ${name(b.e)} overlap`);
      }
    });
    return [...new Set(wrong)];
  };

  // The page's main button can be pressed without scrolling. Below a message, the field to mend is enough in a narrow window.
  const mainButton = () => {
    scrollTo(0, 0);
    let button = all(".theme-btn--primary, .theme-btn--success")[0];
    if (innerWidth < 400 && document.querySelector(".dex-error-box, .dex-notice") && document.activeElement.localName === "input") {
      button = document.activeElement;
    }
    if (!button) return [];
    const r = button.getBoundingClientRect();
    const at = document.elementFromPoint((r.left + r.right) / 2, (r.top + r.bottom) / 2);
    if (r.top < 0 || r.bottom > innerHeight) return [`${name(button)} is out of sight: it ends at ${Math.round(r.bottom)} px of ${innerHeight}`];
    return button.contains(at) ? [] : [`${name(button)} is covered`];
  };

  // One heading of the first level, which comes first, and no level left out below it.
  const headings = () => {
    const levels = all("h1, h2, h3, h4, h5, h6").map((h) => Number(h.localName[1]));
    const wrong = levels[0] !== 1 || levels.filter((l) => l === 1).length !== 1;
    return wrong || levels.some((l, i) => i > 0 && l > levels[i - 1] + 1) ? [`the levels of the headings are ${levels}`] : [];
  };

  // Fields have names, and say to password managers and keyboards what they are for.
  const fields = () => {
    const wrong = [];
    for (const e of all("input, select, textarea")) {
      if (![...e.labels].some((l) => l.innerText.trim()) && !e.ariaLabel) wrong.push(`${name(e)} has no label`);
      if (e.type !== "checkbox" && e.type !== "submit" && !e.autocomplete) wrong.push(`${name(e)} has no autocomplete`);
      const error = document.querySelector("[role=alert]");
      if (e.getAttribute("aria-invalid") === "true" && !(error && (e.getAttribute("aria-describedby") || "").split(" ").includes(error.id))) {
        wrong.push(`${name(e)} is wrong, and no live message says so`);
      }
    }
    for (const e of all("a[href], button")) if (!e.innerText.trim() && !e.ariaLabel) wrong.push(`${name(e)} has no name`);
    return wrong;
  };

  const size = new Map();
  // All text is twice as large as when it was remembered.
  const remember = () => lines().forEach((l) => size.set(l.node, parseFloat(getComputedStyle(l.parent).fontSize)));
  const doubled = () =>
    lines()
      .filter((l) => size.has(l.node) && parseFloat(getComputedStyle(l.parent).fontSize) < 1.9 * size.get(l.node))
      .map((l) => `"${l.text}" doesn't grow with the browser's text size`);

  // In forced colours borders show where a control is, or a colour of its own.
  const bordered = () =>
    all("button, a.dex-btn, input:not([type=checkbox]):not([type=radio]), select")
      .filter((e) => {
        const { borderTopWidth, borderTopColor, backgroundColor } = getComputedStyle(e);
        const edge = parseFloat(borderTopWidth) < 1 ? backgroundColor : borderTopColor;
        return !opaque(edge) || contrast(edge, behind(e)) < 3;
      })
      .map((e) => `${name(e)} has no edge that can be seen`);

  const moving = () =>
    [...document.querySelectorAll("*")]
      .filter((e) => parseFloat(getComputedStyle(e).transitionDuration) > 0 || parseFloat(getComputedStyle(e).animationDuration) > 0)
      .map((e) => `${name(e)} moves`);

  // Colours: relative luminance and contrast as WCAG 2.2 defines them.
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05);
  const opaque = (colour) => !/^rgba\(.*, 0\)$|transparent/.test(colour);
  const behind = (e) => ancestors(e.parentElement).map((a) => getComputedStyle(a).backgroundColor).find(opaque) || "rgb(255, 255, 255)";

  let stops = [];
  let last = null;
  // Puts the keyboard before the first stop, and returns how many there are.
  const begin = () => {
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute("tabindex");
    scrollTo(0, 0);
    last = null;
    stops = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")].filter(
      (e) => shown(e) && !e.disabled && e.tabIndex >= 0,
    );
    return stops.length;
  };

  // What is wrong with the stop that the keyboard has come to, which should be the one of a number.
  const stop = (i) => {
    const e = document.activeElement;
    if (e !== stops[i]) return [`Tab ${i + 1} comes to ${name(e)} instead of ${name(stops[i])}`];
    const wrong = [];
    const style = getComputedStyle(e);
    const r = e.getBoundingClientRect();
    if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) wrong.push(`nothing shows that ${name(e)} has the focus`);
    else if (contrast(style.outlineColor, behind(e)) < 3) wrong.push(`the outline of ${name(e)} can hardly be seen`);
    const at = document.elementFromPoint((r.left + r.right) / 2, (r.top + r.bottom) / 2);
    if (!at || !(e.contains(at) || at.contains(e) || [...(e.labels || [])].some((l) => l.contains(at)))) {
      wrong.push(`${name(e)} has the focus, and is covered or out of sight`);
    }
    if (last && stuck(last) === stuck(e)) {
      const before = last.getBoundingClientRect();
      const back = getComputedStyle(document.body).direction === "rtl" ? r.left >= before.right - slack : r.right <= before.left + slack;
      if (r.bottom <= before.top + slack || (back && r.top < before.bottom - slack)) wrong.push(`Tab goes back from ${name(last)} to ${name(e)}`);
    }
    last = e;
    return wrong;
  };

  // What is wrong with any stop. Colours change no order, so that the browser's own order needs no second walk. Outlines are shown to
  // whoever has used the keyboard last.
  const everyStop = () => {
    const count = begin();
    return stops.slice(0, count).flatMap((e, i) => {
      e.focus();
      return stop(i);
    });
  };

  const html = () => document.documentElement;
  const resize = (percent) => html().style.setProperty("font-size", percent, "important");
  // Lines, letters, words and paragraphs as far apart as readers may set them (WCAG 2.2, 1.4.12).
  const spacing = new CSSStyleSheet();
  spacing.replaceSync("* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important } p { margin-block-end: 2em !important }");
  const space = (on) => {
    document.adoptedStyleSheets = on ? [spacing] : [];
  };

  // Everything that axe-core finds.
  const axe = async (only) => {
    const run = only
      ? { runOnly: { type: "rule", values: only } }
      : {
          runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
          rules: { "target-size": { enabled: true } },
        };
    const { violations } = await globalThis.axe.run(document, { ...run, resultTypes: ["violations"] });
    return violations.flatMap((v) => v.nodes.map((n) => `axe: ${v.id}: ${n.html.slice(0, 120)}: ${n.failureSummary.replace(/\s+/g, " ")}`));
  };

  return { fits, overlaps, mainButton, headings, fields, remember, doubled, bordered, moving, begin, stop, everyStop, resize, space, axe };
})();

/**
 * On the page for wrong addresses: offers the section whose name, or the name of whose alert, is
 * nearest to what was asked for, or whose title has the words.  Where none is, or without this
 * script, the page offers the check that names the section.
 */
;(() => {
  "use strict"

  const SIMILAR = 0.55 // of the pairs of letters that two names have in common; by trial
  const SHORTEST = 3 // letters of a word that tells anything

  const plain = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, " ").trim()

  function pairs(text) {
    const found = new Set()
    for (let at = 0; at + 1 < text.length; at += 1) found.add(text.slice(at, at + 2))
    return found
  }

  function similarity(one, other) {
    if (one === other) return 2
    const [first, second] = [pairs(one), pairs(other)]
    const shared = [...first].filter((pair) => second.has(pair)).length
    return (2 * shared) / (first.size + second.size || 1)
  }

  /** More for a section that alerts lead to, and for a short title: it is about little else. */
  function inTitle(words, link) {
    const title = plain(link.textContent).split(" ")
    const all = words.split(" ").every((word) => word.length >= SHORTEST && title.includes(word))
    const alerts = link.dataset.names.trim().split(/\s+/).length - 1
    return all ? 1 + (alerts ? 0.5 : 0) + 0.4 / title.length : 0
  }

  /** What was asked for: "/alerts/missed_run/" is "missed run", and so is "/x#missed_run". */
  function asked() {
    const last = location.pathname.split("/").filter(Boolean).pop() ?? ""
    return [last, location.hash.slice(1)]
      .map((part) => plain(part.replace(/\.html?$/, "")))
      .filter(Boolean)
  }

  function nearest() {
    let best = { score: SIMILAR, link: null }
    for (const link of document.querySelector("#runbook-sections").content.querySelectorAll("a")) {
      for (const name of link.dataset.names.trim().split(/\s+/)) {
        for (const words of asked()) {
          const score = Math.max(similarity(words, plain(name)), inTitle(words, link))
          if (score > best.score) best = { score, link }
        }
      }
    }
    return best.link
  }

  const link = nearest()
  const offer = document.querySelector(".nearest")
  if (link && offer) offer.replaceChildren("Nearest section: ", document.importNode(link, true))
})()

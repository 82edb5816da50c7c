/**
 * On the page for wrong addresses: offers the section whose name, or the name of whose alert, is
 * nearest to what was asked for.  Without it the page still lists all of them.
 */
;(() => {
  "use strict"

  const SIMILAR = 0.55 // of the pairs of letters that two names have in common; by trial

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
          const score = similarity(words, plain(name))
          if (score > best.score) best = { score, link }
        }
      }
    }
    return best.link
  }

  const link = nearest()
  const offer = document.querySelector(".nearest")
  if (link && offer) {
    offer.querySelector("a").replaceWith(document.importNode(link, true))
    offer.hidden = false
  }
})()

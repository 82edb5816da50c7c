/**
 * Brings the section that was linked to into sight, and keeps it there while the page grows.
 *
 * A browser goes to the section when the last script has come, which takes seconds on a phone.
 * Until then scripts put forms, buttons and the diagram above it.  After an instant navigation the
 * theme scrolls before the page has its height, also for whoever comes back to where they were.
 * While the search is open on a phone it holds the page fast, and scrolls back when it lets it go.
 * A page that is loaded again, as when its author saves, stays where it was.
 * Whoever touches the page is left alone.
 */
;(() => {
  "use strict"

  // The theme runs this once more for every page that it puts in the place of another.
  if (document.readyState !== "loading") return

  const SETTLED = 4000 // milliseconds without growth after which a page has its height
  const HELD_FAST = "data-md-scrolllock" // on the body
  const TOUCHES = ["wheel", "touchstart", "pointerdown", "keydown"]

  // Not the address as it is later: whoever comes back had scrolled on from what it names.
  const again = performance.getEntriesByType("navigation")[0]?.type === "reload"
  let left = (again ? history.state?.y : null) ?? null // how far down, where the theme keeps it
  let wanted = left === null ? location.hash : ""
  let release = () => {}

  function idOf(hash) {
    try {
      return decodeURIComponent(hash.slice(1))
    } catch {
      return ""
    }
  }

  function hold() {
    release()
    const target = document.getElementById(idOf(wanted))
    const top = left
    if (!target && top === null) return
    let timer
    function wait() {
      clearTimeout(timer)
      // Before the scripts have come, which may take longer, it has not even begun to grow.
      const begun = document.readyState === "complete" && !document.body.hasAttribute(HELD_FAST)
      if (begun) timer = setTimeout(() => release(), SETTLED)
    }
    function bring() {
      // At once: a frame later the reader would have seen the page jump.
      if (target) target.scrollIntoView()
      else scrollTo(0, top)
      wait()
    }
    const growth = new ResizeObserver(bring)
    const letGo = new MutationObserver(bring)
    release = () => {
      growth.disconnect()
      letGo.disconnect()
      clearTimeout(timer)
      removeEventListener("load", wait)
      for (const name of TOUCHES) removeEventListener(name, release, true)
      release = () => {}
    }
    addEventListener("load", wait)
    for (const name of TOUCHES) addEventListener(name, release, true)
    letGo.observe(document.body, { attributeFilter: [HELD_FAST] })
    growth.observe(document.body)
    for (const child of document.querySelector(".md-content__inner").children) growth.observe(child)
    bring()
  }

  function note(event) {
    const link = event.target.closest?.("a[href]")
    if (!link) return
    wanted = new URL(link.href, location.href).hash
    left = null
    // The browser goes there at once, and the theme then scrolls back.
    const isHere = link.pathname === location.pathname
    if (isHere && document.body.hasAttribute(HELD_FAST)) hold()
  }

  function noteReturn({ state }) {
    // A link to a section is followed by an event too, which has no place to come back to.
    if (state?.y === undefined) return
    wanted = ""
    left = state.y
  }

  addEventListener("click", note, true)
  addEventListener("popstate", noteReturn)
  hold()
  addEventListener("DOMContentLoaded", () => {
    // The first page is the one that is held already.
    let first = true
    window.document$.subscribe(() => {
      if (!first) hold()
      first = false
      wanted = ""
      left = null
    })
  })
})()

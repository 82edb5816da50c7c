/**
 * Keeps the section that was linked to in sight while the page around it is still growing.
 *
 * After an instant navigation the theme scrolls before code, tables and the diagram have their
 * final height, and on a long page ends up somewhere else.  Whoever touches the page is left alone.
 */
;(() => {
  "use strict"

  const SETTLED = 4000 // milliseconds after which nothing on a page grows any more
  const TOUCHES = ["wheel", "touchstart", "pointerdown", "keydown"]

  // The address cannot be asked later: the theme writes the section it scrolled past into it.
  let wanted = location.hash
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
    wanted = ""
    if (!target) return
    const growth = new ResizeObserver(() => requestAnimationFrame(() => target.scrollIntoView()))
    const timer = setTimeout(() => release(), SETTLED)
    release = () => {
      growth.disconnect()
      clearTimeout(timer)
      for (const name of TOUCHES) removeEventListener(name, release, true)
      release = () => {}
    }
    for (const name of TOUCHES) addEventListener(name, release, true)
    growth.observe(document.body)
    for (const child of document.querySelector(".md-content__inner").children) growth.observe(child)
  }

  function note(event) {
    const link = event.target.closest?.("a[href]")
    if (link) wanted = new URL(link.href, location.href).hash
  }

  addEventListener("click", note, true)
  window.document$.subscribe(hold)
})()

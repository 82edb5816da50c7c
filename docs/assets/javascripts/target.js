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

  let release = () => {}

  function hold() {
    release()
    const target = document.getElementById(location.hash.slice(1)) // anchors here are plain letters
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

  window.document$.subscribe(hold)
})()

/**
 * Opens what is folded in the section that a link leads to: whoever goes to a reference wants to read
 * it.  What stands below a block is left as it is.  A browser itself opens a fold for an anchor in it
 * and for what is searched in the page.
 */
;(() => {
  "use strict"

  const HEADING = "h1, h2, h3, h4"

  /** The element of the address, none where what stands there is no name at all. */
  function find() {
    try {
      return document.getElementById(decodeURIComponent(location.hash.slice(1)))
    } catch {
      return null
    }
  }

  function open() {
    const target = find()
    // An old name of a section stands in a paragraph of its own above the heading.
    const named = target?.matches(HEADING) ? target : target?.closest("p")?.nextElementSibling
    if (!named?.matches(HEADING)) return
    for (let next = named.nextElementSibling; next; next = next.nextElementSibling) {
      if (next.matches(HEADING)) return
      if (next.matches("details:not([class], :has(.sql-output))")) next.open = true
    }
  }

  addEventListener("hashchange", open)
  window.document$.subscribe(open)
})()

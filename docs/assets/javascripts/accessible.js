/**
 * Lets the keyboard reach what only a pointer could: code and tables that scroll sideways.  Tells
 * the eye where there is more of them, and names the boxes of task lists.  Runs again after each
 * instant navigation and each change of size.
 */
;(() => {
  "use strict"

  const scrollers =
    ".md-typeset pre > code, .md-typeset .md-typeset__scrollwrap, .sql-stamp__reason, .diagram"

  function nameOf(element) {
    if (element.matches(".diagram")) return "Diagram"
    if (!element.matches("code")) return element.matches(".sql-stamp__reason") ? "Failure" : "Table"
    return element.closest(".language-sql") ? "SQL" : "Output"
  }

  function mark(element) {
    const scrolls =
      element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight
    if (scrolls) {
      element.tabIndex = 0
      element.setAttribute("role", "group")
      element.setAttribute("aria-label", `${nameOf(element)}, scrolls sideways`)
    } else if (element.getAttribute("role") === "group") {
      element.removeAttribute("tabindex")
      element.removeAttribute("role")
      element.removeAttribute("aria-label")
    }
    const rest = element.scrollWidth - element.clientWidth - element.scrollLeft
    element.closest(".sql-output, .diagram")?.classList.toggle("scrolls-on", rest > 1)
  }

  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => mark(target)))

  function prepare() {
    sizes.disconnect()
    for (const element of document.querySelectorAll(scrollers)) {
      mark(element)
      sizes.observe(element)
      element.onscroll = () => mark(element)
    }
    for (const box of document.querySelectorAll(".task-list-item input[type=checkbox]")) {
      box.setAttribute("aria-label", box.closest("li").textContent.trim())
    }
  }

  window.document$.subscribe(() => requestAnimationFrame(prepare))
})()

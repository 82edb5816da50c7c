/**
 * Lets the keyboard reach what only a pointer could: code and tables that scroll sideways, and the
 * menu.  Tells the eye where there is more of them, and gives the boxes of task lists, the buttons of
 * the blocks and the search names of their own.  Runs again after each instant navigation and each
 * change of size.
 */
;(() => {
  "use strict"

  const scrollers = ".md-typeset pre > code, .md-typeset .md-typeset__scrollwrap, .diagram"

  const menus = ".md-header [for=__drawer], .md-sidebar--primary [for=__toc]"

  function nameOf(element) {
    if (element.matches(".diagram")) return "Diagram"
    if (!element.matches("code")) return "Table"
    return element.closest(".language-sql") ? "SQL" : "Output"
  }

  function measure(element) {
    const { scrollWidth, clientWidth, scrollHeight, clientHeight, scrollLeft } = element
    return {
      element,
      scrolls: scrollWidth > clientWidth || scrollHeight > clientHeight,
      goesOn: scrollWidth - clientWidth - scrollLeft > 1,
    }
  }

  function tell({ element, scrolls, goesOn }) {
    if (scrolls) {
      element.tabIndex = 0
      element.setAttribute("role", "group")
      element.setAttribute("aria-label", `${nameOf(element)}, scrolls sideways`)
    } else if (element.getAttribute("role") === "group") {
      element.removeAttribute("tabindex")
      element.removeAttribute("role")
      element.removeAttribute("aria-label")
    }
    const shown = element.closest(".sql-output, .diagram, .md-typeset__scrollwrap")
    shown?.classList.toggle("scrolls-on", goesOn)
  }

  /** All are measured before one is changed: after a change the page would be laid out again. */
  const mark = (elements) => elements.map(measure).forEach(tell)

  const sizes = new ResizeObserver((entries) => mark(entries.map(({ target }) => target)))

  /** The theme opens the menu, and the list of sections in it, by labels that get no focus. */
  function makeButton(label) {
    if (label.role === "button") return
    const toggle = document.getElementById(label.htmlFor)
    const tell = () => label.setAttribute("aria-expanded", String(toggle.checked))
    label.role = "button"
    label.tabIndex = 0
    if (!label.textContent.trim()) label.setAttribute("aria-label", "Menu")
    toggle.addEventListener("change", tell)
    tell()
    label.addEventListener("keydown", (event) => {
      if (event.key !== " ") return // the theme presses a label at Enter
      event.preventDefault()
      label.click()
    })
  }

  function closeMenu({ key }) {
    const toggle = document.getElementById("__drawer")
    if (key !== "Escape" || !toggle.checked) return
    toggle.click()
    document.querySelector(".md-header [for=__drawer]").focus()
  }

  /** What a block is for: what its mark says or else how it begins, and the section it is in. */
  function titleOf(block) {
    const mark = block.previousElementSibling
    const said = mark?.matches(".sql-mark") ? mark.textContent.split(" · ")[1] : ""
    const begins = block.querySelector("code").textContent.trim().split("\n")[0]
    let above = block
    while (above && !/^H[1-6]$/.test(above.tagName)) above = above.previousElementSibling
    const section = above?.firstChild.textContent.trim()
    return [section, said || begins].filter(Boolean).join(": ")
  }

  /** A list of 60 buttons that have one name is no help to who hears it. */
  function nameButtons() {
    const times = new Map()
    for (const block of document.querySelectorAll(".md-typeset .highlight:has(.md-code__nav)")) {
      const title = titleOf(block)
      const time = (times.get(title) ?? 0) + 1
      times.set(title, time)
      const name = time > 1 ? `${title} (${time})` : title
      block.querySelector(".md-code__nav").setAttribute("aria-label", name)
      block.querySelector("[data-md-type=copy]")?.setAttribute("aria-label", `Copy: ${name}`)
      const passed = block.nextElementSibling?.querySelector(":scope.sql-stamp--passed > summary")
      passed?.setAttribute("aria-label", `Passed: ${name}`)
      const fold = block.nextElementSibling?.nextElementSibling
      if (fold?.matches("details:has(.sql-output)"))
        fold.querySelector("summary").setAttribute("aria-label", `Output: ${name}`)
    }
  }

  function prepare() {
    sizes.disconnect()
    document.querySelector(".md-search[role=dialog]")?.setAttribute("aria-label", "Search")
    nameButtons()
    for (const label of document.querySelectorAll(menus)) makeButton(label)
    // While none is chosen Tab goes to the first switch of the scheme, whose label may be hidden.
    const scheme = document.querySelector(".md-option:has(+ label:not([hidden]))")
    if (scheme) scheme.checked = true
    const elements = [...document.querySelectorAll(scrollers)]
    mark(elements)
    for (const element of elements) {
      sizes.observe(element)
      element.onscroll = () => mark([element])
    }
    for (const box of document.querySelectorAll(".task-list-item input[type=checkbox]")) {
      box.setAttribute("aria-label", box.closest("li").textContent.trim())
    }
  }

  addEventListener("keydown", closeMenu)
  window.document$.subscribe(() => requestAnimationFrame(prepare))
})()

/**
 * Values such as an assignment's number are typed once and stand in all blocks of the page.
 *
 * The build says where the placeholders of a block are, of what type a value is and how it is quoted
 * there, by the rules of the checks.  Values never leave the browser: they are kept until its tab is
 * closed, and those that may be secret not even that long.  Without this script a block is as it was
 * written.
 */
;(() => {
  "use strict"

  const NUMBER = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|true|false|null)$/
  const WHOLE_NUMBER = /^[+-]?\d+$/
  const WHOLE_TYPES = ["smallint", "integer", "bigint"]
  const DAY = /^\d{4}-\d\d-\d\d$/
  const ADDRESS = /url/
  const SECRET = /url|secret|token|password|key/
  const unsaved = new Map()
  let places = []
  const storeKey = (name) => `sql-fill:${location.pathname}:${name}`

  function load(name) {
    return unsaved.get(storeKey(name)) ?? sessionStorage.getItem(storeKey(name)) ?? ""
  }

  function save(name, value) {
    unsaved.set(storeKey(name), value)
    if (SECRET.test(name)) return
    if (value) sessionStorage.setItem(storeKey(name), value)
    else sessionStorage.removeItem(storeKey(name))
  }

  function isDay(value) {
    const day = new Date(`${value}T00:00Z`) // 31 February would become a day in March
    return DAY.test(value) && !Number.isNaN(day.valueOf()) && day.toISOString().startsWith(value)
  }

  /** Why a value may not stand in a place; empty if it may. */
  function refuse(place, value) {
    const isWhole = WHOLE_NUMBER.test(value) || (!place.quote && value === "null")
    if (WHOLE_TYPES.includes(place.type) && !isWhole) return "Only a whole number can stand here."
    if (!place.quote && !NUMBER.test(value)) return "Only a number can stand here."
    if (place.type === "date" && place.quote && !isDay(value))
      return "Only a day can stand here, such as 2026-11-01."
    return ""
  }

  /** What stands in the SQL for a value that may stand there. */
  function write(place, value) {
    if (!place.quote) {
      return /^[+-]/.test(value) ? `(${value})` : value // "5-<n>" must not begin a comment
    }
    const text = place.backslash ? value.replaceAll("\\", "\\\\") : value
    return text.replaceAll(place.quote, place.quote + place.quote)
  }

  /** Put an element around characters of the code, over the elements of the highlighter. */
  function wrap(code, { name, start, end }) {
    const range = document.createRange()
    const walker = document.createTreeWalker(code, NodeFilter.SHOW_TEXT)
    let at = 0
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const length = node.data.length
      if (start >= at && start < at + length) range.setStart(node, start - at)
      if (end > at && end <= at + length) range.setEnd(node, end - at)
      at += length
    }
    if (range.toString() !== `<${name}>`) return null
    const element = document.createElement("span")
    element.className = "sql-fill"
    element.append(range.extractContents())
    range.insertNode(element)
    return element
  }

  /** Find the places of a page, the last of each block first: those before it stay where they are. */
  function findPlaces(blocks) {
    const found = []
    for (const block of blocks) {
      const code = block.querySelector("pre > code") ?? block.querySelector("code")
      for (const place of JSON.parse(block.dataset.sqlFill).reverse()) {
        const element = wrap(code, place)
        if (element) found.push({ ...place, block, element, written: [...element.childNodes] })
      }
    }
    return found
  }

  /** Say which values of a block are still missing; its copy button copies it all the same. */
  function warn(block) {
    const own = places.filter((place) => place.block === block).reverse()
    const empty = own.filter(({ element }) => !element.classList.contains("sql-fill--filled"))
    const names = [...new Set(empty.map(({ name }) => name.replaceAll("_", " ")))]
    const words = names.length ? `Copied, but not filled in: ${names.join(", ")}.` : ""
    block.querySelector(".sql-missing").textContent = words
  }

  /** A block says nothing of missing values before somebody copies it without them. */
  function warnWhoCopies(block) {
    if (block.querySelector(".sql-missing")) return
    const status = document.createElement("p")
    status.className = "sql-missing"
    status.setAttribute("role", "status")
    block.append(status)
    block.addEventListener("click", ({ target }) => {
      if (target.closest("[data-md-type=copy], .md-clipboard")) warn(block)
    })
  }

  /** Show a value where it stands.  What is still being typed is not said to be wrong. */
  function show(name, value, isDone = true) {
    let refused = ""
    const typed = value.trim() // the keyboard of a phone adds a space
    for (const place of places.filter((each) => each.name === name)) {
      const why = typed === "" ? "" : refuse(place, typed)
      const text = typed === "" || why ? null : write(place, typed)
      refused ||= why
      place.element.replaceChildren(...(text === null ? place.written : [text]))
      place.element.classList.toggle("sql-fill--filled", text !== null)
      if (place.block.querySelector(".sql-missing").textContent) warn(place.block)
    }
    for (const input of document.querySelectorAll(`.sql-form input[name="${name}"]`)) {
      if (input.value !== value) input.value = value
      const said = isDone ? refused : ""
      input.setAttribute("aria-invalid", String(said !== ""))
      document.getElementById(input.getAttribute("aria-describedby")).textContent = said
    }
  }

  /** The keyboard that a phone shows for the value of some places. */
  function keyboardFor(places) {
    if (places.some((place) => ADDRESS.test(place.name))) return "url"
    return places.some((place) => !place.quote) ? "decimal" : "text"
  }

  function makeField(name, id, mode) {
    const field = document.createElement("div")
    const label = document.createElement("label")
    label.htmlFor = id
    label.textContent = name.replaceAll("_", " ")
    const input = document.createElement("input")
    Object.assign(input, { id, name, autocomplete: "off", spellcheck: false })
    input.inputMode = mode
    if (mode === "url") field.className = "sql-form__wide"
    input.setAttribute("autocapitalize", "off")
    input.setAttribute("aria-describedby", `${id}-error`)
    const error = document.createElement("span")
    error.className = "sql-form__error"
    error.id = `${id}-error`
    error.setAttribute("role", "status")
    field.append(label, input, error)
    return field
  }

  /** `told` has what the forms above have said already of what becomes of their values. */
  function makeForm(section, places, told) {
    const form = document.createElement("form")
    form.className = "sql-form"
    const fieldset = document.createElement("fieldset")
    const legend = document.createElement("legend")
    const names = new Set(places.map((place) => place.name).reverse())
    const kept = [...names].every((name) => SECRET.test(name)) ? "is not kept" : "stays in this tab"
    // That a secret is not kept is said wherever one is asked for.
    const isSaid = kept === "stays in this tab" && told.has(kept)
    legend.innerHTML = isSaid ? "Fill in once" : `Fill in once <span>· ${kept}</span>`
    told.add(kept)
    fieldset.append(legend)
    for (const name of names) {
      const mode = keyboardFor(places.filter((place) => place.name === name))
      fieldset.append(makeField(name, `sql-fill-${section}-${name}`, mode))
    }
    form.append(fieldset)
    form.addEventListener("submit", (event) => event.preventDefault())
    return form
  }

  /** The heading that a block stands below: its section has one form. */
  function sectionOf(block) {
    let element = block
    while (element && !/^H[1-6]$/.test(element.tagName)) element = element.previousElementSibling
    return element?.id || "page"
  }

  function prepare() {
    places = findPlaces(document.querySelectorAll("[data-sql-fill]"))
    for (const block of new Set(places.map((place) => place.block))) warnWhoCopies(block)
    const sections = new Map()
    for (const place of places) {
      const section = sectionOf(place.block)
      sections.set(section, [...(sections.get(section) ?? []), place])
    }
    const told = new Set()
    for (const [section, own] of sections) {
      const form = makeForm(section, own, told)
      const mark = own[0].block.previousElementSibling
      ;(mark?.matches(".sql-mark") ? mark : own[0].block).before(form)
      form.addEventListener("input", ({ target }) => {
        save(target.name, target.value)
        show(target.name, target.value, false)
      })
      form.addEventListener("change", ({ target }) => show(target.name, target.value))
    }
    for (const name of new Set(places.map((place) => place.name))) show(name, load(name))
  }

  /** While its author edits, an open page gets the new text of a block: the values stay. */
  document.addEventListener("sql-snippets:text", ({ target: block }) => {
    const before = places.filter((place) => place.block === block)
    const own = findPlaces([block])
    places = [...places.filter((place) => place.block !== block), ...own]
    if (own.length) warnWhoCopies(block)
    block.querySelector(".sql-missing")?.replaceChildren()
    for (const name of new Set([...before, ...own].map((place) => place.name))) show(name, load(name))
  })

  // Where a theme puts another page in the place of this one, it says so.
  if (window.document$) window.document$.subscribe(prepare)
  else prepare()
})()

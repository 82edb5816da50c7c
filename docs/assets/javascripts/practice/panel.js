/**
 * The frame of a practice: the banner that it is a sandbox, what is going on, and the way out.
 *
 * The banner stands below the section's heading for the keyboard and for a screen reader, and at
 * the lower edge of the window for the eye: it is in sight whatever block somebody reads.
 */

function make(name, text, className) {
  const element = document.createElement(name)
  if (text !== undefined) element.textContent = text
  if (className) element.className = className
  return element
}

function makeButton(text, press, className = "") {
  const button = make("button", text, `md-button ${className}`)
  button.type = "button"
  button.addEventListener("click", press)
  return button
}

function makeNotes({ note, values }) {
  const notes = make("div", undefined, "practice__notes")
  if (note) notes.append(make("p", note))
  for (const [name, value] of Object.entries(values ?? {})) {
    const line = make("p", `Fill in for ${name.replaceAll("_", " ")}: `)
    line.append(make("code", value))
    notes.append(line)
  }
  return notes
}

export class Panel {
  constructor({ place, title, section, again, leave }) {
    this.element = make("section", undefined, "practice__panel")
    this.element.setAttribute("aria-label", `Practice: ${title}`)
    const banner = make("div", undefined, "practice__bar")
    const words = make("p", undefined, "practice__banner")
    words.append(
      make("strong", "Sandbox, not production"),
      make("span", ": runs in your browser, nothing is sent"),
    )
    this.progress = make("progress")
    this.progress.max = 1
    this.progress.setAttribute("aria-label", "Loading the database")
    this.status = make("p", "", "practice__status")
    this.status.setAttribute("role", "status")
    this.again = makeButton("Start again", again)
    this.leave = makeButton("End practice", leave)
    const buttons = make("div", undefined, "practice__buttons")
    buttons.append(this.again, this.leave)
    banner.append(words, this.progress, this.status, buttons)
    this.element.append(banner, makeNotes(section))
    place.append(this.element)
    document.documentElement.classList.add("practising")
  }

  say(text) {
    this.status.textContent = text
  }

  /** Show how far loading is, from 0 to 1; null when it is over. */
  showProgress(part) {
    this.progress.hidden = part === null
    if (part === null) return
    if (part < 1) this.progress.value = part
    else this.progress.removeAttribute("value") // busy, nobody knows for how long
  }

  close() {
    this.element.remove()
    document.documentElement.classList.remove("practising")
  }
}

/** The Run button of a block, with room for what comes back. */
export function addRun(block, run) {
  const element = make("div", undefined, "practice-run")
  const button = makeButton("Run in the sandbox", run)
  button.setAttribute("aria-label", `Run in the sandbox: ${block.title}`)
  const result = make("div")
  element.append(button, result)
  block.stamp.after(element)
  return {
    button,
    show: (...contents) => result.replaceChildren(...contents),
    add: (content) => result.append(content),
    remove: () => element.remove(),
  }
}

/** What is shown at the end: how long it took, and each step in its order. */
export function makeSummary(time, steps) {
  const element = make("div", undefined, "practice__summary")
  element.tabIndex = -1
  element.append(make("p", `Resolved in ${time}. Your steps:`))
  const list = make("ol")
  for (const step of steps) list.append(make("li", `${step.at} · ${step.title} · ${step.outcome}`))
  element.append(list)
  return element
}

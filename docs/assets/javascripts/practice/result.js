/** What the database said to a block, as elements. */

const SHOWN = 100 // rows; more is no longer a table that somebody reads

const counted = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`

function make(name, text, className) {
  const element = document.createElement(name)
  if (text !== undefined) element.textContent = text
  if (className) element.className = className
  return element
}

export const showTime = (seconds) =>
  seconds < 1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${seconds.toFixed(1)} s`

/** An outcome in a few words, for the caption, the status and the list of steps. */
export function summarise({ error, columns, rows, tag }) {
  if (error) return `ERROR ${error.code}: ${error.message}`
  return columns ? `${counted(rows.length, "row")} (${tag})` : tag
}

function makeCell(value) {
  return value === null ? make("td", "null", "practice-result__null") : make("td", value)
}

function makeTable({ columns, rows }, caption) {
  const table = make("table", undefined, "practice-result__table") // the theme styles those without
  table.append(make("caption", caption))
  const head = table.createTHead().insertRow()
  for (const column of columns) {
    const cell = make("th", column)
    cell.scope = "col"
    head.append(cell)
  }
  const body = table.createTBody()
  for (const row of rows.slice(0, SHOWN)) body.insertRow().append(...row.map(makeCell))
  // Wide results scroll by themselves, and the keyboard must reach what scrolls.
  const scroller = make("div", undefined, "practice-result__scroller")
  scroller.tabIndex = 0
  scroller.setAttribute("role", "group")
  scroller.setAttribute("aria-label", "Result in the sandbox")
  scroller.append(table)
  return scroller
}

function makeError({ code, message, detail, hint }) {
  const lines = [`ERROR ${code}: ${message}`]
  if (detail) lines.push(`DETAIL: ${detail}`)
  if (hint) lines.push(`HINT: ${hint}`)
  return make("pre", lines.join("\n"), "practice-result__error")
}

export function showResult(outcome) {
  const element = make("div", undefined, "practice-result")
  const caption = `Sandbox · ${summarise(outcome)} · ${showTime(outcome.seconds)}`
  if (outcome.error) element.append(makeError(outcome.error))
  else if (outcome.columns) element.append(makeTable(outcome, caption))
  else element.append(make("p", caption))
  if (outcome.columns && outcome.rows.length > SHOWN) {
    element.append(make("p", `Only the first ${SHOWN} rows are shown.`))
  }
  for (const notice of outcome.notices) element.append(make("p", `NOTICE: ${notice}`))
  return element
}

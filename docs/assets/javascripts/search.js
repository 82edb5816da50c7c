/**
 * Makes the search lead to the section that helps.
 *
 * The theme takes each word for the beginning of one, so that the "a" of a pasted error text finds
 * every title with an A, and it takes quotes and some signs for commands.  It also puts the page
 * above its sections, when the words stand in a section alone: its row would open the page at the
 * top.  And it listens for keys alone, and what is pasted or spoken presses none.
 */
;(() => {
  "use strict"

  const list = document.querySelector(".md-search-result__list")
  const field = document.querySelector(".md-search__input")
  if (!list || !field) return

  const QUERY = 2 // the type of the theme's messages to its worker
  const WHOLE = 10 // how much more a whole word counts than the beginning of one; by trial
  // What the SQL Editor says before an error, and the server after it: perhaps all in one line.
  const BEFORE = /^.*Failed to run sql query:/
  const AFTER = /(.)(?:DETAIL|HINT|CONTEXT|QUERY|LINE \d+):.*$/
  const BETWEEN = /[\s~^*:]+/
  const EDGES = /^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu

  const wordsOf = (query) =>
    query
      .replace(BEFORE, "")
      .replace(AFTER, "$1")
      .split(BETWEEN)
      .map((word) => word.replace(EDGES, ""))
      .filter(Boolean)

  const weighed = (query) =>
    wordsOf(query)
      .map((word) => `${word}^${WHOLE} ${word}`)
      .join(" ")

  const send = Worker.prototype.postMessage
  Worker.prototype.postMessage = function (message, ...others) {
    const asks = message?.type === QUERY && typeof message.data === "string"
    const sent = asks ? { ...message, data: weighed(message.data) } : message
    return send.call(this, sent, ...others)
  }

  /** How many of the words stand in the title of a row. */
  const found = (row) => row.querySelectorAll("h1 mark, h2 mark").length

  function lead(item) {
    const [page, section] = item.querySelectorAll(".md-search-result__link")
    if (!page || !section) return
    const words = wordsOf(field.value).join(" ").split(/[\s_-]+/).length
    if (found(section) >= found(page) || found(page) < words) page.href = section.href
  }

  field.addEventListener("input", () => field.dispatchEvent(new KeyboardEvent("keyup")))

  new MutationObserver(() => list.querySelectorAll(".md-search-result__item").forEach(lead)).observe(
    list,
    { childList: true, subtree: true },
  )
})()

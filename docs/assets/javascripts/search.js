/**
 * Makes the search lead to the section that helps.
 *
 * The theme takes each word for the beginning of one, so that the "a" of a pasted error text finds
 * every title with an A.  And it puts the page above its sections, also when the words stand in a
 * section alone: its row would open the page at the top.  It also listens for keys alone, and what
 * is pasted or spoken presses none.
 */
;(() => {
  "use strict"

  const list = document.querySelector(".md-search-result__list")
  const field = document.querySelector(".md-search__input")
  if (!list || !field) return

  const QUERY = 2 // the type of the theme's messages to its worker
  const SMALL = new Set(
    "a an and are as at be been by for from has have i in is it its of on or that the there this to was were with".split(
      " ",
    ),
  )

  // The number of a run or of a try; an SQLSTATE has five digits.
  const NUMBER = /^\d{1,4}$/

  /** Leave out what every text has or this one alone, unless it is quoted or all there is. */
  function withoutSmallWords(query) {
    if (query.includes('"')) return query
    const words = query
      .split(/\s+/)
      .map((word) => word.replace(/[.,:;!?]+$/, "")) // "again:" would be the name of a field
      .filter((word) => !SMALL.has(word.toLowerCase()) && !NUMBER.test(word))
    return words.some(Boolean) ? words.join(" ") : query
  }

  const send = Worker.prototype.postMessage
  Worker.prototype.postMessage = function (message, ...others) {
    const asks = message?.type === QUERY && typeof message.data === "string"
    const sent = asks ? { ...message, data: withoutSmallWords(message.data) } : message
    return send.call(this, sent, ...others)
  }

  /** How many of the words stand in the title of a row. */
  const found = (row) => row.querySelectorAll("h1 mark, h2 mark").length

  function lead(item) {
    const [page, section] = item.querySelectorAll(".md-search-result__link")
    if (!page || !section) return
    const words = withoutSmallWords(field.value).split(/[\s_-]+/).filter(Boolean).length
    if (found(section) >= found(page) || found(page) < words) page.href = section.href
  }

  field.addEventListener("input", () => field.dispatchEvent(new KeyboardEvent("keyup")))

  new MutationObserver(() => list.querySelectorAll(".md-search-result__item").forEach(lead)).observe(
    list,
    { childList: true, subtree: true },
  )
})()

/**
 * Says how long ago the blocks were run, and lets what they proved look its age.
 *
 * A build cannot know when it is read: a copy on a laptop would stay as green as on its first day,
 * and so would a page that is never closed.
 */
;(() => {
  "use strict"

  const HOUR = 60 * 60 * 1000 // milliseconds
  const DAY = 24 * HOUR
  const OLD = 30 // days
  const PASSED = ["sql-stamp", "sql-summary", "sql-verdict"].map((kind) => `${kind}--passed`)

  /** What a time is of: a stamp, the line at the top of a page, or all of a generated page. */
  function datedBy(time) {
    if (time.matches(".sql-run")) return document.querySelectorAll(".sql-verdict")
    return [time.closest(".sql-stamp, .sql-summary")]
  }

  function lookOld(element) {
    const passed = PASSED.find((name) => element.classList.contains(name))
    if (!passed) return
    element.classList.replace(passed, passed.replace("passed", "stale"))
    if (element.matches("details")) element.open = true
    const word = element.matches(".sql-verdict") ? element : element.querySelector(".sql-stamp__verdict")
    if (word) word.textContent = "Passed long ago"
  }

  function grow(time) {
    const days = Math.floor((Date.now() - Date.parse(time.dateTime)) / DAY)
    if (!(days >= 1)) return
    time.dataset.written ??= time.textContent
    time.textContent = `${time.dataset.written}, ${days === 1 ? "1 day" : `${days} days`} ago`
    if (days <= OLD) return
    datedBy(time).forEach(lookOld)
    if (time.matches(".sql-run")) time.classList.add("sql-verdict", "sql-verdict--stale")
  }

  function look() {
    document.querySelectorAll(":is(.sql-stamp, .sql-summary) time, .sql-run").forEach(grow)
  }

  // Where a theme puts another page in the place of this one, it says so.
  if (window.document$) window.document$.subscribe(look)
  else look()
  setInterval(look, HOUR)
})()

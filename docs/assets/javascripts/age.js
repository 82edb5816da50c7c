/**
 * Says how long ago the blocks were run, and lets a stamp look its age.
 *
 * A build cannot know when it is read: a copy on a laptop would stay as green as on its first day.
 */
;(() => {
  "use strict"

  const DAY = 24 * 60 * 60 * 1000 // milliseconds
  const OLD = 30 // days

  function grow(time) {
    const days = Math.floor((Date.now() - Date.parse(time.dateTime)) / DAY)
    if (!(days >= 1) || time.dataset.days) return // an instant navigation may show a page again
    time.dataset.days = days
    time.append(days === 1 ? ", 1 day ago" : `, ${days} days ago`)
    if (days <= OLD) return
    for (const kind of ["sql-stamp", "sql-summary"]) {
      const old = time.closest(`.${kind}--passed`)
      if (!old) continue
      old.classList.replace(`${kind}--passed`, `${kind}--stale`)
      const word = old.querySelector(".sql-stamp__verdict")
      if (word) word.textContent = "Passed long ago"
    }
  }

  window.document$.subscribe(() => {
    document.querySelectorAll(":is(.sql-stamp, .sql-summary) time").forEach(grow)
  })
})()

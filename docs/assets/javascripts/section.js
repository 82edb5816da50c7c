/**
 * Shows in the header which section is being read.  The runbook is one long page whose sections
 * look alike, and a reader who comes back from the SQL Editor has to find the place again.
 */
;(() => {
  "use strict"

  let watcher

  function follow() {
    watcher?.disconnect()
    const topic = document.querySelector("[data-md-component=header-topic] .md-ellipsis")
    const contents = document.querySelector(".md-sidebar [data-md-component=toc]")
    if (!topic || !contents) return
    const title = topic.textContent
    // The theme marks the section in its table of contents, in sight or not.
    watcher = new MutationObserver(() => {
      const section = contents.querySelector(".md-nav__link--active")?.textContent.trim()
      topic.textContent = section ?? title
    })
    watcher.observe(contents, { attributeFilter: ["class"], subtree: true })
  }

  window.document$.subscribe(follow)
})()

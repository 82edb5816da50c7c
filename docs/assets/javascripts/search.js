/**
 * Leads the first row of a search result to the section that was found.
 *
 * The theme puts the page above its sections, also when the words stand in a section alone.  Then
 * its row would open the page at the top, and somebody in a hurry would have to search again.
 */
;(() => {
  "use strict"

  const list = document.querySelector(".md-search-result__list")
  if (!list) return

  function lead(item) {
    const [page, section] = item.querySelectorAll(".md-search-result__link")
    if (!page || !section || page.querySelector("mark")) return
    page.href = section.href
  }

  new MutationObserver(() => list.querySelectorAll(".md-search-result__item").forEach(lead)).observe(
    list,
    { childList: true, subtree: true },
  )
})()

/** The blocks of a section as they stand on the page, and those of the sections it leads to. */

const HEADING = "h1, h2, h3"

function* contentOf(heading) {
  for (let next = heading.nextElementSibling; next; next = next.nextElementSibling) {
    if (next.matches(HEADING)) return
    yield next
  }
}

/** What the copy button gives: the reader's own values are in it. */
const sqlOf = (block) => (block.querySelector("pre > code") ?? block.querySelector("code")).textContent

/** What a block is for: the mark says it between the first two dots. */
function titleOf(block) {
  const mark = block.previousElementSibling
  const text = mark?.matches(".sql-mark") ? mark.textContent.split(" · ")[1] : ""
  return text?.trim() || block.id
}

function blocksBelow(heading) {
  const found = []
  for (const stamp of contentOf(heading)) {
    const block = stamp.previousElementSibling
    if (!stamp.dataset.sqlId || !block?.matches(".sql-block")) continue
    found.push({
      id: stamp.dataset.sqlId,
      title: titleOf(block),
      stamp,
      sql: () => sqlOf(block),
    })
  }
  return found
}

/** Return the blocks of a section, and of each section of the page that it links to. */
export function findBlocks(heading) {
  const headings = new Set([heading])
  for (const element of contentOf(heading)) {
    for (const link of element.querySelectorAll('a[href*="#"]')) {
      if (link.pathname !== location.pathname) continue
      const target = document.getElementById(decodeURIComponent(link.hash.slice(1)))
      if (target?.matches(HEADING)) headings.add(target)
    }
  }
  return [...headings].flatMap(blocksBelow)
}

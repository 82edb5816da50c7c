/** One practice of one section: from the incident to the verification that says it is over. */

import { findBlocks } from "./blocks.js"
import { Database } from "./database.js"
import { Panel, addRun, makeSummary } from "./panel.js"
import { showResult, summarise } from "./result.js"

function clock(milliseconds) {
  const seconds = Math.round(milliseconds / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`
}

/**
 * Follow a link within the page.  With instant navigation the theme loads the page once more at the
 * first of them, which would end the practice.
 */
function follow(event) {
  const link = event.target.closest?.('.md-content a[href*="#"]')
  if (link?.pathname !== location.pathname) return
  const target = document.getElementById(link.hash.slice(1))
  if (!target) return
  event.preventDefault()
  event.stopPropagation()
  history.replaceState(history.state, "", link.hash)
  target.scrollIntoView()
  // Tab goes on from there.
  target.tabIndex = -1
  target.focus({ preventScroll: true })
}

/** Begin, and return how to end it. */
export function begin({ heading, title, section, place, button, bytes, recipe }) {
  const offer = [...place.children]
  const blocks = findBlocks(heading)
  let runs = []
  let steps = []
  let started = 0
  let round = 0 // what a round that was given up still says is not heard

  // The button is at the section's end; what is said of the practice belongs to its beginning.
  const offered = document.createComment("")
  place.replaceWith(offered)
  heading.after(place)

  const panel = new Panel({ place, title, section, again: () => makeIncident(), leave: end })
  const database = new Database(recipe, (progress) => {
    if (progress.making) {
      panel.showProgress(1)
      panel.say("Building the incident")
    } else {
      panel.showProgress(Math.min(progress.bytes / bytes, 0.99))
    }
  })

  addEventListener("click", follow, true)

  function end() {
    removeEventListener("click", follow, true)
    round += 1
    database.close()
    clear()
    panel.close()
    offered.replaceWith(place)
    for (const element of offer) element.hidden = false
    button.focus()
  }

  function clear() {
    for (const run of runs) run.remove()
    runs = []
    steps = []
  }

  /** By the drill's rule: the page's verification says so, and the incident is really gone. */
  function judge(block, outcome, run) {
    if (!section.verify.includes(block.id)) return
    const place = outcome.columns?.indexOf("resolved") ?? -1
    const saysResolved = place >= 0 && outcome.rows.length === 1 && outcome.rows[0][place] === "t"
    if (saysResolved && !outcome.present) {
      const summary = makeSummary(clock(Date.now() - started), steps)
      run.add(summary)
      panel.say("Resolved")
      summary.focus()
    } else if (saysResolved) {
      panel.say("The page says resolved, and the incident is still there")
    } else {
      panel.say("Not resolved yet")
    }
  }

  async function press(block, run) {
    if (run.button.getAttribute("aria-disabled") === "true") return
    const mine = round
    // Not `disabled`: that would take the focus away from whoever pressed it.
    for (const each of runs) each.button.setAttribute("aria-disabled", "true")
    panel.say("Running")
    try {
      const outcome = await database.run(block.sql())
      if (mine !== round) return
      steps.push({
        at: clock(Date.now() - started),
        title: block.title,
        outcome: summarise(outcome),
      })
      run.show(showResult(outcome))
      panel.say(summarise(outcome))
      judge(block, outcome, run)
    } catch (error) {
      if (mine === round) panel.say(`${error.message} Start again.`)
    }
    for (const each of runs) each.button.removeAttribute("aria-disabled")
  }

  async function makeIncident() {
    round += 1
    const mine = round
    clear()
    panel.say("Loading the database")
    panel.showProgress(0)
    try {
      await database.make(section.incident)
    } catch (error) {
      if (mine !== round) return
      panel.showProgress(null)
      panel.say(`Practice is not possible: ${error.message}`)
      return
    }
    if (mine !== round) return
    panel.showProgress(null)
    runs = blocks.map((block) => {
      const run = addRun(block, () => press(block, run))
      return run
    })
    started = Date.now()
    panel.say("The incident is there. Work through the section: each block has a Run button.")
  }

  for (const element of offer) element.hidden = true
  panel.leave.focus({ preventScroll: true })
  heading.scrollIntoView()
  makeIncident()
  return end
}

/**
 * Offers to practise a troubleshooting section on a database in the browser.
 *
 * The build says which sections can be practised, and why the others cannot.  Everything else is
 * loaded when somebody presses the button: until then a page costs no more than this file.
 */
;(() => {
  "use strict"

  const folder = new URL("practice/", document.currentScript.src)
  const able = "Worker" in window && "WebAssembly" in window && "DecompressionStream" in window
  let end = () => {}

  function makeButton(title, bytes) {
    const button = document.createElement("button")
    button.type = "button"
    button.className = "md-button practice__begin"
    button.textContent = "Practise"
    button.setAttribute("aria-label", `Practise: ${title}`)
    const size = document.createElement("span")
    size.textContent = ` in your browser · ${Math.ceil(bytes / 1e6)} MB, once`
    return [button, size]
  }

  function offer(place, heading, section, data) {
    if (section.cannot) {
      place.textContent = `Cannot be practised in the browser: ${section.cannot}`
      return
    }
    const title = heading.firstChild.textContent.trim()
    const [button, size] = makeButton(title, data.bytes)
    place.append(button, size)
    button.addEventListener("click", async () => {
      end()
      const { begin } = await import(new URL("drill.js", folder))
      end = begin({ heading, title, section, place, button, bytes: data.bytes, recipe: data.recipe })
    })
  }

  function prepare() {
    end()
    end = () => {}
    const element = document.querySelector("[data-practice]")
    const places = document.querySelectorAll(".practice[data-section]")
    // A browser starts no thread from a file, and needs one here.
    if (!element || !able || location.protocol === "file:") {
      for (const place of places) place.remove()
      return
    }
    const data = JSON.parse(element.dataset.practice)
    data.recipe = new URL(data.database, location.href).href
    for (const place of places) {
      const anchor = place.dataset.section
      offer(place, document.getElementById(anchor), data.sections[anchor], data)
    }
  }

  window.document$.subscribe(prepare)
})()

/**
 * Stands in for the Mermaid library until a page shows a diagram, then fetches it from this site.
 *
 * The theme asks for `window.mermaid` and falls back to a public CDN when there is none.  It calls
 * two functions, `initialize` and `render`; both are here from the start, so it never falls back,
 * and the library (2.5 MB) is loaded once and only where it is needed.
 */
;(() => {
  "use strict"

  const library = new URL("vendor/mermaid.min.js", document.currentScript.src).href
  let settings = { startOnLoad: false }
  let loading = null

  function load() {
    loading ??= new Promise((resolve, reject) => {
      const script = document.createElement("script")
      script.src = library
      script.addEventListener("load", () => {
        const mermaid = window.mermaid
        mermaid.initialize(settings)
        resolve(mermaid)
      })
      script.addEventListener("error", () => {
        loading = null // the next diagram may try again
        reject(new Error(`The diagram library is not at ${library}: run scripts/serve once.`))
      })
      document.head.append(script)
    })
    return loading
  }

  window.mermaid ??= {
    initialize(given) {
      settings = given
    },
    async render(...args) {
      return (await load()).render(...args)
    },
  }
})()

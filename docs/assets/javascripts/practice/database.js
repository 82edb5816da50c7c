/** The page's end of the database to practise on. */

export class Database {
  #worker = null
  #waiting = new Map()
  #last = 0

  /** `progress` is told what the worker says while it loads and makes the database. */
  constructor(recipe, progress) {
    this.recipe = recipe
    this.progress = progress
  }

  /** Make a new database that has the incident.  One that hangs is left behind. */
  async make(name) {
    if (this.#waiting.size) this.close()
    this.#worker ??= this.#start()
    return this.#ask("make", { recipe: this.recipe, name })
  }

  run(sql) {
    return this.#ask("run", { sql })
  }

  close() {
    this.#worker?.terminate()
    this.#worker = null
    this.#waiting.clear()
  }

  #start() {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" })
    worker.addEventListener("message", ({ data }) => {
      if (data.progress) {
        this.progress(data.progress)
        return
      }
      const { resolve, reject } = this.#waiting.get(data.id)
      this.#waiting.delete(data.id)
      if (data.error) reject(new Error(data.error))
      else resolve(data.answer)
    })
    worker.addEventListener("error", (event) => {
      event.preventDefault()
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(event.message || "The database could not be loaded."))
      }
      this.close()
    })
    return worker
  }

  #ask(ask, more) {
    return new Promise((resolve, reject) => {
      this.#last += 1
      this.#waiting.set(this.#last, { resolve, reject })
      this.#worker.postMessage({ id: this.#last, ask, ...more })
    })
  }
}

/**
 * The database to practise on: PGlite, in a thread of its own so that the page stays alive.
 *
 * It answers one request at a time: {id, ask, ...} with {id, answer} or {id, error}, and says how
 * far it is with {progress}.  What it has loaded it keeps, so a new database needs no network.
 */
import { keep, recall } from "./kept.js"

const VENDOR = new URL("../vendor/pglite/", import.meta.url)

let parts = null // of which databases are made
let pglite = null // the module
let database = null
let superuser = null
let incident = null

/** Fetch a file and tell how much of it has come. */
async function fetchFile(url, arrived) {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url} cannot be loaded (HTTP status ${response.status}).`)
  const chunks = []
  const reader = response.body.getReader()
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    chunks.push(part.value)
    arrived(part.value.length)
  }
  return new Blob(chunks)
}

async function unpack(blob) {
  return new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).blob()
}

async function load(recipe) {
  let bytes = 0
  const arrived = (length) => {
    bytes += length
    postMessage({ progress: { bytes } })
  }
  const migrated = await recall(recipe)
  const [module, wasm, files, empty, text] = await Promise.all([
    import(new URL("index.js", VENDOR)),
    fetchFile(new URL("pglite.wasm", VENDOR), arrived)
      .then((blob) => blob.arrayBuffer())
      .then((buffer) => WebAssembly.compile(buffer)),
    fetchFile(new URL("pglite.data", VENDOR), arrived),
    migrated ?? fetchFile(new URL("empty.bin", VENDOR), arrived).then(unpack),
    fetchFile(recipe, arrived).then((blob) => blob.text()),
  ])
  pglite = module
  parts = { wasm, files, empty, migrated, recipe: JSON.parse(text), address: recipe }
}

/** Run one message, as the SQL Editor sends it, and return what the server said. */
async function send(sql) {
  const started = performance.now()
  const query = pglite.protocol.serialize.query(sql)
  const { messages } = await database.execProtocol(query, { throwOnError: false })
  const outcome = { columns: null, rows: [], tag: "", error: null, notices: [] }
  for (const each of messages) {
    if (each.name === "rowDescription") {
      // Of several results the last one is shown, as in the SQL Editor.
      outcome.columns = each.fields.map((field) => field.name)
      outcome.rows = []
    } else if (each.name === "dataRow") {
      outcome.rows.push(each.fields)
    } else if (each.name === "commandComplete") {
      outcome.tag = each.text
    } else if (each.name === "notice") {
      outcome.notices.push(each.message)
    } else if (each.name === "error") {
      const { code, message, detail, hint } = each
      outcome.error = { code, message, detail, hint }
    }
  }
  if (outcome.error) Object.assign(outcome, { columns: null, rows: [], tag: "" })
  outcome.seconds = (performance.now() - started) / 1000
  return outcome
}

async function mustSend(sql) {
  const outcome = await send(sql)
  if (outcome.error) throw new Error(`${outcome.error.message} (${outcome.error.code})`)
  return outcome
}

const quote = (text) => `'${text.replaceAll("'", "''")}'`

/** Begin a session of its own: nothing of the one before is left in it. */
async function beginSession(role, program = "") {
  await send("rollback")
  // Said by name: with nobody logged in there is no default to go back to.
  await mustSend(`set session authorization ${superuser}`)
  await mustSend("discard all")
  if (!role) return
  // What logging in does: the settings of the role, and then its rights.
  const quoted = quote(role)
  await mustSend(`set application_name = ${quote(program)}`)
  await mustSend(`
    select set_config(split_part(line, '=', 1), substr(line, strpos(line, '=') + 1), false)
    from pg_db_role_setting s, unnest(s.setconfig) line
    where s.setrole = ${quoted}::regrole`)
  await mustSend(`set session authorization ${quoted}`)
}

async function runAs(role, sql) {
  await beginSession(role)
  return mustSend(sql)
}

async function open(dataDir) {
  await database?.close()
  database = await pglite.PGlite.create({
    pgliteWasmModule: parts.wasm,
    fsBundle: parts.files,
    loadDataDir: dataDir,
    // A prepared transaction holds locks when no session of the reader does.
    startParams: [...pglite.PGlite.defaultStartParams, "-c", "max_prepared_transactions=4"],
  })
  superuser = quote((await mustSend("select current_user")).rows[0][0])
}

async function migrate({ platform, migrations, role }) {
  for (const sql of platform) await runAs(null, sql)
  for (const sql of migrations) await runAs(role, sql)
  await runAs(null, "checkpoint")
  parts.migrated = await database.dumpDataDir("none")
  keep(parts.address, parts.migrated)
}

async function make(name) {
  const { recipe, empty, migrated } = parts
  await open(migrated ?? empty)
  if (!migrated) await migrate(recipe)
  // Not kept: its dates count from now.
  if (recipe.seed) await runAs(recipe.role, recipe.seed)
  incident = recipe.incidents[name]
  if (incident.platform) await runAs(null, incident.platform)
  await runAs(recipe.role, incident.produce)
  await settle()
}

/** Do what a server would have done in the background by now. */
async function settle() {
  if (!incident.after) return
  const { rows } = await runAs(null, incident.after)
  for (const [sql] of rows) if (sql) await mustSend(sql)
}

async function isPresent() {
  const { rows } = await runAs(parts.recipe.role, incident.present)
  return rows[0]?.[0] === "t"
}

const asked = {
  /** Make a new database with an incident; `recipe` is where the database is described. */
  async make({ recipe, name }) {
    if (!parts) await load(recipe)
    postMessage({ progress: { making: true } })
    await make(name)
    if (!(await isPresent())) throw new Error("The incident could not be produced here.")
  },

  /** Run a block, and say whether the incident is still there. */
  async run({ sql }) {
    await beginSession(parts.recipe.role, parts.recipe.editor)
    const outcome = await send(sql)
    await settle()
    return { ...outcome, present: await isPresent() }
  },
}

let turn = Promise.resolve()
addEventListener("message", ({ data }) => {
  turn = turn.then(async () => {
    try {
      postMessage({ id: data.id, answer: await asked[data.ask](data) })
    } catch (error) {
      postMessage({ id: data.id, error: String(error.message ?? error) })
    }
  })
})

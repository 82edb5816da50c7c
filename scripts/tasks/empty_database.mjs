/**
 * Makes the empty data directory that practice in the browser begins with.
 *
 *     node empty_database.mjs FOLDER-OF-PGLITE FILE
 *
 * Made here once, because PostgreSQL takes longer to make one in a browser than all the rest.
 */
import { writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"

const [folder, file] = process.argv.slice(2)
const { PGlite } = await import(pathToFileURL(join(resolve(folder), "index.js")).href)

// As on the platform, the superuser is not `postgres`: that is the reader, who is none.
const database = await PGlite.create({
  // One megabyte instead of 16 of a log that starts empty: all of it goes through the network.
  initDbStartParams: ["--username=supabase_admin", "--wal-segsize=1"],
})
// Nobody makes further databases there, and these two are two thirds of the files.
for (const name of ["template0", "template1"]) {
  await database.exec(`alter database ${name} is_template false`)
  await database.exec(`drop database ${name}`)
}
await database.exec("checkpoint")
const dump = await database.dumpDataDir("gzip")
await writeFile(file, Buffer.from(await dump.arrayBuffer()))
process.exit() // an open database would keep the process alive

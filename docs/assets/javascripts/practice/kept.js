/**
 * Keeps the migrated database in the browser, so that the next practice need not migrate again.
 *
 * Nothing of a reader is in it.  Without such a store (a site without https, a private window)
 * everything works, a second or two slower.
 */
const STORE = "practice"

/** Return what was kept under an address, or null. */
export async function recall(address) {
  try {
    const found = await (await caches.open(STORE)).match(address)
    return found ? await found.blob() : null
  } catch {
    return null
  }
}

/** Keep a file under an address, and nothing that was kept before. */
export async function keep(address, blob) {
  try {
    await caches.delete(STORE)
    await (await caches.open(STORE)).put(address, new Response(blob))
  } catch {
    // No room, or not allowed.
  }
}

/** Stops what global-setup.mjs and api-setup.mjs started. */
export default async function tearDown() {
  await globalThis.millraceApiCluster?.stop();
  await globalThis.millraceTestServers?.stop();
}

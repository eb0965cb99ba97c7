export const title = "6-preview"; export async function run() {}

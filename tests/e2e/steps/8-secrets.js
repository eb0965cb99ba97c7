export const title = "8-secrets"; export async function run() {}

export const title = "7-assistant"; export async function run() {}

export const title = "5-files"; export async function run() {}

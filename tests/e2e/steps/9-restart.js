export const title = "9-restart"; export async function run() {}

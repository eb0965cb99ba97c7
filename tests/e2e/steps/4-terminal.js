export const title = "4-terminal"; export async function run() {}

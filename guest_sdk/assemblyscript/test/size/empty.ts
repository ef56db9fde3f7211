export function run(): void {
  // Nothing.
}

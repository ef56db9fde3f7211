// What the language's own runtime takes as soon as a program makes an object.
export function run(): ArrayBuffer {
  return new ArrayBuffer(8);
}

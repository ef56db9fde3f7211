declare namespace __AdaptedExports {
  /** Exported memory */
  export const memory: WebAssembly.Memory;
  /**
   * test/guest/begin
   */
  export function begin(): void;
  /**
   * test/guest/endMap
   * @param key `~lib/string/String`
   */
  export function endMap(key: string): void;
  /**
   * test/guest/send
   * @param body `~lib/string/String`
   */
  export function send(body: string): void;
  /**
   * test/guest/setString
   * @param key `~lib/string/String`
   * @param value `~lib/string/String`
   */
  export function setString(key: string, value: string): void;
  /**
   * test/guest/setBool
   * @param key `~lib/string/String`
   * @param value `bool`
   */
  export function setBool(key: string, value: boolean): void;
  /**
   * test/guest/setI64
   * @param key `~lib/string/String`
   * @param value `i64`
   */
  export function setI64(key: string, value: bigint): void;
  /**
   * test/guest/setF64
   * @param key `~lib/string/String`
   * @param value `f64`
   */
  export function setF64(key: string, value: number): void;
  /**
   * test/guest/setEmpty
   * @param key `~lib/string/String`
   */
  export function setEmpty(key: string): void;
  /**
   * test/guest/setBytes
   * @param key `~lib/string/String`
   * @param value `~lib/typedarray/Uint8Array`
   */
  export function setBytes(key: string, value: Uint8Array): void;
  /**
   * test/guest/setBuffer
   * @param key `~lib/string/String`
   * @param value `~lib/arraybuffer/ArrayBuffer`
   */
  export function setBuffer(key: string, value: ArrayBuffer): void;
  /**
   * test/guest/setStrings
   * @param key `~lib/string/String`
   * @param value `~lib/array/Array<~lib/string/String>`
   */
  export function setStrings(key: string, value: Array<string>): void;
  /**
   * test/guest/setI64s
   * @param key `~lib/string/String`
   * @param value `~lib/array/Array<i64>`
   */
  export function setI64s(key: string, value: Array<bigint>): void;
  /**
   * test/guest/setF64s
   * @param key `~lib/string/String`
   * @param value `~lib/array/Array<f64>`
   */
  export function setF64s(key: string, value: Array<number>): void;
  /**
   * test/guest/fieldString
   * @param index `i32`
   * @param value `~lib/string/String`
   */
  export function fieldString(index: number, value: string): void;
  /**
   * test/guest/fieldBool
   * @param index `i32`
   * @param value `bool`
   */
  export function fieldBool(index: number, value: boolean): void;
  /**
   * test/guest/setOthers
   */
  export function setOthers(): void;
  /**
   * test/guest/logSite
   * @param severity `i32`
   * @param target `~lib/string/String`
   * @param name `~lib/string/String`
   * @param fields `~lib/staticarray/StaticArray<~lib/string/String> | null`
   * @param file `~lib/string/String`
   * @param line `u32`
   * @returns `bool`
   */
  export function logSite(severity: number, target: string, name: string, fields: ArrayLike<string> | null, file: string, line: number): boolean;
  /**
   * test/guest/spanSite
   * @param target `~lib/string/String`
   * @param name `~lib/string/String`
   * @param fields `~lib/staticarray/StaticArray<~lib/string/String> | null`
   * @param file `~lib/string/String`
   * @param line `u32`
   */
  export function spanSite(target: string, name: string, fields: ArrayLike<string> | null, file: string, line: number): void;
  /**
   * test/guest/count
   * @param name `~lib/string/String`
   * @param unit `~lib/string/String`
   * @param description `~lib/string/String`
   */
  export function count(name: string, unit: string, description: string): void;
  /**
   * test/guest/record
   * @param name `~lib/string/String`
   * @param unit `~lib/string/String`
   * @param description `~lib/string/String`
   * @param boundaries `~lib/staticarray/StaticArray<f64> | null`
   */
  export function record(name: string, unit: string, description: string, boundaries: ArrayLike<number> | null): void;
  /**
   * test/guest/emit
   * @param severity `i32`
   * @param body `~lib/string/String`
   */
  export function emit(severity: number, body: string): void;
  /**
   * test/guest/enabled
   * @param severity `i32`
   * @returns `bool`
   */
  export function enabled(severity: number): boolean;
  /**
   * test/guest/spans
   */
  export function spans(): void;
  /**
   * test/guest/doubled
   * @param value `i32`
   * @returns `i32`
   */
  export function doubled(value: number): number;
  /**
   * test/guest/answered
   * @param value `i32`
   */
  export function answered(value: number): void;
  /**
   * test/guest/ids
   * @returns `~lib/string/String`
   */
  export function ids(): string;
  /**
   * test/guest/incoming
   * @param traceparent `~lib/string/String`
   * @param tracestate `~lib/string/String`
   * @returns `bool`
   */
  export function incoming(traceparent: string, tracestate: string): boolean;
  /**
   * test/guest/outgoing
   * @param field `~lib/string/String`
   * @returns `~lib/string/String`
   */
  export function outgoing(field: string): string;
  /**
   * test/guest/baggageOf
   * @param key `~lib/string/String`
   * @returns `~lib/string/String`
   */
  export function baggageOf(key: string): string;
  /**
   * test/guest/fail
   * @param message `~lib/string/String`
   */
  export function fail(message: string): void;
  /**
   * test/guest/work
   * @param rounds `i32`
   * @param body `~lib/string/String`
   * @returns `i32`
   */
  export function work(rounds: number, body: string): number;
  /**
   * test/guest/churn
   * @param rounds `i32`
   * @returns `i32`
   */
  export function churn(rounds: number): number;
  /**
   * test/guest/stress
   * @param rounds `i32`
   */
  export function stress(rounds: number): void;
}
/** Instantiates the compiled WebAssembly module with the given imports. */
export declare function instantiate(module: WebAssembly.Module, imports: {
  wasmscope_v1: unknown,
}): Promise<typeof __AdaptedExports>;

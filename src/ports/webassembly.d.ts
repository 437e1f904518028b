// The part of the WebAssembly JavaScript API that the core uses, so that it compiles without the DOM's types.
declare global {
  namespace WebAssembly {
    class Memory {
      constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
      readonly buffer: ArrayBuffer | SharedArrayBuffer;
      grow(pages: number): number;
    }
    type ExportValue = unknown;
    function compile(bytes: Uint8Array<ArrayBuffer>): Promise<Module>;
    function instantiate(module: Module, imports?: Record<string, Record<string, unknown>>): Promise<Instance>;
    class Module {
      constructor(bytes: Uint8Array<ArrayBuffer>);
      static imports(module: Module): { module: string; name: string; kind: string }[];
      private readonly module: never;
    }
    /** Functions that modules call by number. */
    class Table {
      constructor(descriptor: { element: 'anyfunc'; initial: number; maximum?: number });
      readonly length: number;
      get(index: number): unknown;
      set(index: number, value: unknown): void;
      grow(delta: number): number;
    }
    class Instance {
      constructor(module: Module, imports?: Record<string, Record<string, unknown>>);
      readonly exports: Record<string, unknown>;
    }
  }
}
export {};

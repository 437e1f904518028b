// Runs single x87, MMX and SSE instructions on the processor of this machine: the judge of src/cpu/fp.test.ts.
// usage: fp-oracle INPUT OUTPUT. INPUT: u32 count, count stubs of 32 bytes (u8 length, code), then records until the
// end of file; OUTPUT: the same records after execution. Code may use xmm0..2, mm, st, rax, flags and 64 bytes at rdi.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

typedef struct {
  uint32_t op; /* in: stub number; out: signal or 0 */
  uint32_t mxcsr;
  uint16_t fcw, fsw, ftw, reserved;
  uint64_t rax, rflags;
  uint8_t st[8][16], xmm[3][16], memory[64];
} Record;

typedef struct {
  uint16_t fcw, fsw;
  uint8_t ftw, reserved;
  uint16_t fop;
  uint64_t fip, fdp;
  uint32_t mxcsr, mxcsr_mask;
  uint8_t st[8][16], xmm[16][16], rest[96];
} __attribute__((aligned(64))) Image;

enum { STUB_BYTES = 64, CODE_BYTES = 32, STUBS_MAX = 1024, BATCH = 1024 };
static uint8_t *code;
static volatile int caught;
static uint8_t *resume;

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  caught = number;
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)resume;
}

static void execute(Record *r) {
  static Image in, out;
  static uint8_t memory[64] __attribute__((aligned(64)));
  in.fcw = r->fcw;
  in.fsw = r->fsw;
  in.ftw = (uint8_t)r->ftw;
  in.mxcsr = r->mxcsr;
  memcpy(in.st, r->st, sizeof in.st);
  memcpy(in.xmm, r->xmm, sizeof r->xmm);
  memcpy(memory, r->memory, sizeof memory);
  uint8_t *stub = code + STUB_BYTES * r->op;
  resume = stub + stub[STUB_BYTES - 1];
  caught = 0;
  uint64_t rax = r->rax, flags = r->rflags;
  __asm__ volatile(
      "sub $256, %%rsp\n\t"
      "fxrstor64 %[in]\n\t"
      "push %[flags]\n\tpopfq\n\t"
      "call *%[stub]\n\t"
      "pushfq\n\tpop %[flags]\n\t"
      "fxsave64 %[out]\n\t"
      "fninit\n\t"
      "add $256, %%rsp\n\t"
      : "+a"(rax), [flags] "+r"(flags), [out] "=m"(out)
      : [stub] "r"(stub), [in] "m"(in), "D"(memory)
      : "memory", "cc");
  static const uint32_t defaults = 0x1f80;
  __asm__ volatile("ldmxcsr %0" : : "m"(defaults));
  r->op = (uint32_t)caught;
  r->mxcsr = out.mxcsr;
  r->fcw = out.fcw;
  r->fsw = out.fsw;
  r->ftw = out.ftw;
  r->rax = rax;
  r->rflags = flags;
  memcpy(r->st, out.st, sizeof out.st);
  memcpy(r->xmm, out.xmm, sizeof r->xmm);
  memcpy(r->memory, memory, sizeof memory);
}

int main(int argc, char **argv) {
  FILE *input = argc == 3 ? fopen(argv[1], "rb") : NULL, *output = input ? fopen(argv[2], "wb") : NULL;
  uint32_t count = 0;
  if (!output || fread(&count, 4, 1, input) != 1 || count > STUBS_MAX) return 2;
  code = mmap(NULL, STUB_BYTES * STUBS_MAX, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 3;
  for (uint32_t n = 0; n < count; n++) {
    uint8_t stub[CODE_BYTES];
    if (fread(stub, CODE_BYTES, 1, input) != 1) return 2;
    memcpy(code + STUB_BYTES * n, stub + 1, stub[0]);
    code[STUB_BYTES * n + stub[0]] = 0xc3; /* ret */
    code[STUB_BYTES * n + STUB_BYTES - 1] = stub[0];
  }
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
  for (int n = 0; n < 4; n++) sigaction((int[]){SIGFPE, SIGSEGV, SIGILL, SIGBUS}[n], &action, NULL);
  static Record batch[BATCH];
  for (size_t got; (got = fread(batch, sizeof(Record), BATCH, input)) > 0;) {
    for (size_t n = 0; n < got; n++) execute(&batch[n]);
    if (fwrite(batch, sizeof(Record), got, output) != got) return 4;
  }
  return fclose(output) == 0 ? 0 : 4;
}

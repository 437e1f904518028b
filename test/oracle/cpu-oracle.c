// Runs short machine-code sequences on the real processor and reports what they did. Linux on x86-64 only.
// Not a sandbox for hostile code: the generator emits unprivileged instructions; system calls are refused by a byte scan and,
// behind that, by a seccomp filter that leaves read, write, exit and the return from a signal.
//
// Protocol (little endian; the records are declared in oracle-case.ts, which generates cpu-oracle-layout.h):
//   at start, out:  u32 magic "ORCL", u32 features (bit 0: YMM state, bit 1: LDT segments, so the segmented modes work)
//   then repeated:  in  u32 bytes, u32 count, count case records
//                   out u32 bytes, u32 count, count result records
//
// A case is entered and left through signals: the code ends in an INT3 (or faults), the kernel saves the whole register
// state in the signal frame, the handler copies it to the result, writes the next case's state into the same frame and
// returns into it. So neither side needs a line of assembly, and 16- and 32-bit code is a matter of the CS in the frame.
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "cpu-oracle-layout.h"

enum { PAGE = 4096, TICK_US = 20000, BATCH_BYTES_MAX = 256 << 20, BATCH_CASES_MAX = 8192 };
enum { FX_BYTES = 512, FX_OWN_BYTES = 416, YMM_HIGH_BYTES = 256, XSAVE_HEADER = 512, FP_MAGIC = 0x46505853, SW_OFFSET = 464 };
enum { FEATURE_YMM = 1, FEATURE_LDT = 2 };
enum { XSTATE_FP_SSE = 3, XSTATE_YMM = 4 };

static const int frame_register[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                       REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static uint32_t features;
static uint32_t ymm_offset; // of the upper halves in the XSAVE area
static uint8_t *code_alias; // the code page, writable, at an address no case knows
static uint8_t initial_data[PAGE];
static uint8_t default_fx[FX_BYTES];

static uint8_t *input, *output; // BATCH_BYTES_MAX each; a result has at most 18 KiB
static const struct case_header *current; // the running case, or none
static const uint8_t *next_case;
static uint32_t cases_left;
static uint32_t output_bytes;
static int last_code_offset, last_code_length;
static uint64_t case_serial, ticked_serial;

static greg_t main_registers[NGREG];
static uint8_t main_fp[32768];

// libc's wrappers need the thread pointer, which the cases use; these do not.
static long system_call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

static void quit(int status) {
  for (;;) system_call(SYS_exit, status, 0, 0);
}

static void read_exactly(void *target, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    long count = system_call(SYS_read, 0, (long)target + done, bytes - done);
    if (count == -4) continue; // EINTR
    if (count <= 0) quit(count < 0);
    done += count;
  }
}

static void write_exactly(const void *source, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    long count = system_call(SYS_write, 1, (long)source + done, bytes - done);
    if (count == -4) continue;
    if (count <= 0) quit(1);
    done += count;
  }
}

static uint32_t padded(uint32_t bytes) { return (bytes + 7) & ~7u; }

static const uint8_t *part(const struct case_header *test, int wanted) {
  const uint8_t *at = (const uint8_t *)(test + 1);
  if (wanted == PART_FX) return at;
  if (test->parts & PART_FX) at += FX_BYTES;
  if (wanted == PART_YMM) return at;
  return test->parts & PART_YMM ? at + YMM_HIGH_BYTES : at;
}

// SYSCALL, SYSENTER, and INT n unless it is INT3's long form.
static int is_refused(const struct case_header *test) {
  const uint8_t *code = part(test, 0);
  for (int n = 0; n + 1 < test->codeLength; n++) {
    if (code[n] == 0x0f && (code[n + 1] == 0x05 || code[n + 1] == 0x34)) return 1;
    if (code[n] == 0xcd && code[n + 1] != 0x03) return 1;
  }
  return test->mode >= MODE_COUNT || (test->mode >= 2 && !(features & FEATURE_LDT));
}

static int has_xsave_frame(const uint8_t *fp) { return *(const uint32_t *)(fp + SW_OFFSET) == FP_MAGIC; }

static void load_fp(uint8_t *fp, const struct case_header *test) {
  const uint8_t *image = test->parts & PART_FX ? part(test, PART_FX) : default_fx;
  memcpy(fp, image, FX_OWN_BYTES);
  *(uint32_t *)(fp + 24) &= 0xffff; // reserved bits of MXCSR would make the return fault
  *(uint32_t *)(fp + 28) = 0xffff;
  if (!has_xsave_frame(fp)) return;
  *(uint64_t *)(fp + XSAVE_HEADER) |= XSTATE_FP_SSE;
  if (!(features & FEATURE_YMM)) return;
  *(uint64_t *)(fp + XSAVE_HEADER) |= XSTATE_YMM;
  if (test->parts & PART_YMM) memcpy(fp + ymm_offset, part(test, PART_YMM), YMM_HIGH_BYTES);
  else memset(fp + ymm_offset, 0, YMM_HIGH_BYTES);
}

static void load_memory(const struct case_header *test) {
  const uint8_t *code = part(test, 0);
  memset(code_alias + last_code_offset, 0xcc, last_code_length);
  memcpy(code_alias + test->codeOffset, code, test->codeLength);
  last_code_offset = test->codeOffset;
  last_code_length = test->codeLength;
  memset(initial_data, 0, PAGE);
  memcpy(initial_data + test->dataOffset, code + padded(test->codeLength), test->dataLength);
  memcpy((void *)REGION_DATA, initial_data, PAGE);
}

static void load_case(ucontext_t *frame, const struct case_header *test) {
  const struct mode_segments *mode = &modes[test->mode];
  greg_t *registers = frame->uc_mcontext.gregs;
  load_memory(test);
  for (int n = 0; n < 16; n++) registers[frame_register[n]] = test->registers[n];
  registers[REG_RIP] = REGION_CODE + test->codeOffset - mode->code_base;
  registers[REG_EFL] = (test->flags & 0x40dd5) | 2; // CF PF AF ZF SF TF DF OF AC
  registers[REG_CSGSFS] = mode->cs | (greg_t)mode->ds << 48;
  frame->uc_flags |= 6; // UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
  load_fp((uint8_t *)frame->uc_mcontext.fpregs, test);
  __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(mode->ds));
}

static uint32_t write_changes(uint8_t *at, uint32_t *count) {
  const uint8_t *data = (const uint8_t *)REGION_DATA;
  uint8_t *start = at;
  *count = 0;
  for (int n = 0; n < PAGE;) {
    if ((n & 7) == 0 && *(const uint64_t *)(data + n) == *(const uint64_t *)(initial_data + n)) {
      n += 8;
      continue;
    }
    if (data[n] == initial_data[n]) {
      n++;
      continue;
    }
    int first = n;
    while (n < PAGE && data[n] != initial_data[n]) n++;
    uint16_t length = n - first;
    ((uint16_t *)at)[0] = first;
    ((uint16_t *)at)[1] = length;
    memcpy(at + 4, data + first, length);
    memset(at + 4 + length, 0, 3);
    at += 4 + ((length + 3) & ~3);
    ++*count;
  }
  return at - start;
}

static void write_result(ucontext_t *frame, int outcome) {
  struct result_header *result = (struct result_header *)(output + output_bytes);
  uint8_t *at = (uint8_t *)(result + 1);
  memset(result, 0, sizeof *result);
  result->outcome = outcome;
  if (outcome != OUTCOME_REFUSED) {
    greg_t *registers = frame->uc_mcontext.gregs;
    const uint8_t *fp = (const uint8_t *)frame->uc_mcontext.fpregs;
    for (int n = 0; n < 16; n++) result->registers[n] = registers[frame_register[n]];
    result->flags = registers[REG_EFL];
    result->rip = registers[REG_RIP];
    if (outcome != OUTCOME_TIMEOUT) {
      result->vector = registers[REG_TRAPNO];
      result->errorCode = registers[REG_ERR];
      if (result->vector == 14) result->cr2 = registers[REG_CR2];
    }
    result->parts = current->parts;
    if (current->parts & PART_FX) {
      memcpy(at, fp, FX_OWN_BYTES);
      memset(at + FX_OWN_BYTES, 0, FX_BYTES - FX_OWN_BYTES);
      at += FX_BYTES;
    }
    if (current->parts & PART_YMM) {
      int live = has_xsave_frame(fp) && (features & FEATURE_YMM) && (*(const uint64_t *)(fp + XSAVE_HEADER) & XSTATE_YMM);
      if (live) memcpy(at, fp + ymm_offset, YMM_HIGH_BYTES);
      else memset(at, 0, YMM_HIGH_BYTES);
      at += YMM_HIGH_BYTES;
    }
    at += write_changes(at, &result->changeCount);
  }
  while ((at - (uint8_t *)result) & 7) *at++ = 0;
  result->bytes = at - (uint8_t *)result;
  output_bytes += result->bytes;
}

// Takes cases from the batch until one may run. Returns 0 when none is left.
static int start_next(ucontext_t *frame) {
  while (cases_left > 0) {
    current = (const struct case_header *)next_case;
    next_case += current->bytes;
    cases_left--;
    case_serial++;
    if (!is_refused(current)) {
      load_case(frame, current);
      return 1;
    }
    write_result(frame, OUTCOME_REFUSED);
  }
  current = 0;
  return 0;
}

static int outcome_of(ucontext_t *frame, int signal_number) {
  greg_t *registers = frame->uc_mcontext.gregs;
  if (signal_number == SIGPROF) return OUTCOME_TIMEOUT;
  uint64_t end = REGION_CODE + current->codeOffset + current->codeLength - modes[current->mode].code_base;
  return registers[REG_TRAPNO] == 3 && (uint64_t)registers[REG_RIP] == end + 1 ? OUTCOME_COMPLETED : OUTCOME_TRAP;
}

static size_t frame_fp_bytes(const uint8_t *fp) {
  size_t bytes = has_xsave_frame(fp) ? ((const struct _fpx_sw_bytes *)(fp + SW_OFFSET))->extended_size : FX_BYTES;
  return bytes < sizeof main_fp ? bytes : sizeof main_fp;
}

static void on_signal(int signal_number, siginfo_t *info, void *context) {
  ucontext_t *frame = context;
  uint8_t *fp = (uint8_t *)frame->uc_mcontext.fpregs;
  (void)info;
  __asm__ volatile("push $0x202\n\tpopfq" : : : "cc", "memory"); // a case may have left AC, NT or ID set
  if (signal_number == SIGPROF) {
    int is_late = current != 0 && ticked_serial == case_serial;
    ticked_serial = case_serial;
    if (!is_late) return;
  }
  if (current == 0) { // main's INT3: start of a batch
    if (signal_number != SIGTRAP) quit(3);
    memcpy(main_registers, frame->uc_mcontext.gregs, sizeof main_registers);
    memcpy(main_fp, fp, frame_fp_bytes(fp));
  } else {
    write_result(frame, outcome_of(frame, signal_number));
  }
  if (start_next(frame)) return;
  memcpy(frame->uc_mcontext.gregs, main_registers, sizeof main_registers);
  memcpy(fp, main_fp, frame_fp_bytes(fp));
}

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static void map_page(uint64_t address, int protection, int file) {
  int flags = MAP_FIXED_NOREPLACE | (file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
  if (mmap((void *)address, PAGE, protection, flags, file, 0) != (void *)address) fail("mmap of a test page");
}

static void map_memory(void) {
  int file = memfd_create("code", 0);
  if (file < 0 || ftruncate(file, PAGE) != 0) fail("memfd_create");
  code_alias = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (code_alias == MAP_FAILED) fail("mmap");
  memset(code_alias, 0xcc, PAGE);
  map_page(REGION_CODE, PROT_READ | PROT_EXEC, file);
  map_page(REGION_DATA, PROT_READ | PROT_WRITE, -1);
  map_page(REGION_READ_ONLY, PROT_READ | PROT_WRITE, -1);
  for (int n = 0; n < PAGE; n++) ((uint8_t *)REGION_READ_ONLY)[n] = n * 37 + 11;
  if (mprotect((void *)REGION_READ_ONLY, PAGE, PROT_READ) != 0) fail("mprotect");
  input = mmap(0, BATCH_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  output = mmap(0, BATCH_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (input == MAP_FAILED || output == MAP_FAILED) fail("mmap");
}

static void set_segments(void) {
  features |= FEATURE_LDT;
  for (int mode = 0; mode < MODE_COUNT; mode++) {
    if (!(modes[mode].cs & 4)) continue;
    for (int is_data = 0; is_data < 2; is_data++) {
      struct user_desc entry = {0};
      entry.entry_number = (is_data ? modes[mode].ds : modes[mode].cs) >> 3;
      entry.base_addr = modes[mode].data_base;
      entry.limit = modes[mode].limit;
      entry.contents = is_data ? 0 : 2; // data, expand-up; code, not conforming
      entry.seg_32bit = mode == 3;
      entry.useable = 1;
      if (syscall(SYS_modify_ldt, 0x11, &entry, sizeof entry) != 0) features &= ~FEATURE_LDT;
    }
  }
}

static void find_vector_state(void) {
  uint32_t a = 1, b, c = 0, d;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if (!(c & 1 << 27)) return;
  __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  if ((a & 6) != 6) return;
  a = 0xd, c = 2;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  ymm_offset = b;
  features |= FEATURE_YMM;
}

static void set_signals(void) {
  static const int numbers[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP, SIGPROF};
  size_t bytes = 1 << 20;
  stack_t stack = {.ss_size = bytes};
  stack.ss_sp = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, 0) != 0) fail("sigaltstack");
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  sigfillset(&action.sa_mask);
  for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
    if (sigaction(numbers[n], &action, 0) != 0) fail("sigaction");
  }
  struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};
  if (setitimer(ITIMER_PROF, &tick, 0) != 0) fail("setitimer"); // processor time: a busy host is not a hanging case
}

// Then the thread pointer is the cases' own: nothing below this line may call libc but memcpy and its like.
static void forbid_system_calls(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 4, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (syscall(SYS_arch_prctl, ARCH_SET_GS, REGION_GS_BASE) != 0) fail("arch_prctl");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("prctl");
  if (system_call(SYS_arch_prctl, ARCH_SET_FS, REGION_FS_BASE, 0) != 0) quit(2);
  if (system_call(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (long)&program) != 0) quit(2);
}

int main(void) {
  uint32_t head[2];
  map_memory();
  set_segments();
  find_vector_state();
  *(uint16_t *)default_fx = 0x37f;
  *(uint32_t *)(default_fx + 24) = 0x1f80;
  set_signals();
  head[0] = 0x4c43524f;
  head[1] = features;
  forbid_system_calls();
  write_exactly(head, sizeof head);
  for (;;) {
    read_exactly(head, sizeof head);
    if (head[0] > BATCH_BYTES_MAX || head[1] > BATCH_CASES_MAX) quit(4);
    read_exactly(input, head[0]);
    next_case = input;
    cases_left = head[1];
    output_bytes = 8;
    if (cases_left > 0) __asm__ volatile("int3" : : : "memory", "cc");
    ((uint32_t *)output)[0] = output_bytes - 8;
    ((uint32_t *)output)[1] = head[1];
    write_exactly(output, output_bytes);
  }
}

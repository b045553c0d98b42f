/* A plugin of qemu-user (interface version 1, up to qemu 8) that counts instructions by block of
 * code between two marks. A mark is a system call that does nothing: close() of a number from
 * 900000 up. The first sets the counters to zero, the second writes them and ends the counting.
 *
 * The declarations are those of qemu's include/qemu/qemu-plugin.h, which no package ships for 7.2.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
int qemu_plugin_version = 1;
void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(
    struct qemu_plugin_tb *tb, enum qemu_plugin_op op, void *place, uint64_t add);
void qemu_plugin_register_vcpu_syscall_cb(
    qemu_plugin_id_t id,
    void (*cb)(qemu_plugin_id_t, unsigned int, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
               uint64_t, uint64_t, uint64_t, uint64_t));
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);

#define CLOSE 57 /* of arm64 */
#define MARK 900000

struct block {
    uint64_t address, instructions, times;
    struct block *next;
};
static struct block *blocks;
static char out[4096];
static int marks;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    struct block *block = calloc(1, sizeof *block);
    (void)id;
    if (!block) abort();
    block->address = qemu_plugin_tb_vaddr(tb);
    block->instructions = qemu_plugin_tb_n_insns(tb);
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block->times, 1);
}

static void called(qemu_plugin_id_t id, unsigned int cpu, int64_t number, uint64_t first,
                   uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g,
                   uint64_t h) {
    struct block *block;
    FILE *file;
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != CLOSE || first < MARK || first > MARK + 99999) return;
    if (marks++ == 0) {
        for (block = blocks; block; block = block->next) block->times = 0;
        return;
    }
    if (marks != 2) return;
    file = fopen(out, "w");
    if (!file) abort();
    for (block = blocks; block; block = block->next)
        if (block->times)
            fprintf(file, "%llx %llu %llu\n", (unsigned long long)block->address,
                    (unsigned long long)block->instructions, (unsigned long long)block->times);
    if (fclose(file)) abort();
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv) {
    int n;
    (void)info;
    for (n = 0; n < argc; n++)
        if (!strncmp(argv[n], "out=", 4)) snprintf(out, sizeof out, "%s", argv[n] + 4);
    if (!*out) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}

/* Linear regression by gradient descent with dlgrad's kernels: y = x w, and w is found again.
 *
 *   zig build                                    (in the repository's root)
 *   cc examples/c/main.c -Izig-out/include -Lzig-out/lib -ldlgrad -Wl,-rpath,zig-out/lib
 */
#include <dlgrad.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 256, K = 8 };

static void die(const char *what) {
    int64_t failure[4];
    dlgrad_error(failure);
    fprintf(stderr, "%s failed, status %d\n", what, (int)failure[0]);
    exit(1);
}

/* A float32 matrix for a plan's description: dtype, dimensions, sizes, strides. */
static size_t matrix(int64_t *at, int64_t rows, int64_t columns, int64_t stride0, int64_t stride1) {
    const int64_t numbers[] = {DLGRAD_FLOAT32, 2, rows, columns, stride0, stride1};
    memcpy(at, numbers, sizeof numbers);
    return sizeof numbers / sizeof *numbers;
}

/* out (m, n) = a (m, k) @ b (k, n); `transposed`: a is kept as (k, m). */
static dlgrad_plan *matmul(int64_t m, int64_t k, int64_t n, int transposed) {
    int64_t description[32] = {3, 1, 0, 0}; /* operands, outputs, ints, floats */
    size_t length = 4;
    length += matrix(description + length, m, n, n, 1);
    length += matrix(description + length, m, k, transposed ? 1 : k, transposed ? m : 1);
    length += matrix(description + length, k, n, n, 1);
    dlgrad_plan *plan =
        dlgrad_plan_make(DLGRAD_FAMILY_MATMUL, DLGRAD_MATMUL_MATMUL, description, length);
    if (!plan) die("matmul's plan");
    return plan;
}

int main(void) {
    if (dlgrad_init("") != 0) die("dlgrad_init");
    printf("kernels for %s, %u threads\n", dlgrad_level(), dlgrad_threads());

    float *x = (float *)dlgrad_alloc(N * K * sizeof(float));
    float *w = (float *)dlgrad_alloc(K * sizeof(float));
    if (!x || !w) die("dlgrad_alloc");
    uint32_t random = 1;
    for (int i = 0; i < N * K; i++) {
        random = random * 1664525u + 1013904223u;
        x[i] = (float)(random >> 8) / (1 << 23) - 1.0f;
    }
    for (int j = 0; j < K; j++) w[j] = (float)(j + 1);

    /* A plan is made once and run many times. */
    dlgrad_plan *forward = matmul(N, K, 1, 0);  /* x w */
    dlgrad_plan *backward = matmul(K, N, 1, 1); /* x^T (x w - y) */

    float *y = (float *)dlgrad_run2(forward, (uint8_t *)x, (uint8_t *)w);
    if (!y) die("dlgrad_run2");
    memset(w, 0, K * sizeof(float));

    float loss = 0;
    for (int step = 0; step < 200; step++) {
        float *error = (float *)dlgrad_run2(forward, (uint8_t *)x, (uint8_t *)w);
        if (!error) die("dlgrad_run2");
        loss = 0;
        for (int i = 0; i < N; i++) {
            error[i] -= y[i];
            loss += error[i] * error[i] / N;
        }
        float *gradient = (float *)dlgrad_run2(backward, (uint8_t *)x, (uint8_t *)error);
        if (!gradient) die("dlgrad_run2");
        for (int j = 0; j < K; j++) w[j] -= 0.5f * 2 / N * gradient[j];
        dlgrad_free((uint8_t *)gradient);
        dlgrad_free((uint8_t *)error);
    }
    printf("loss %.2g, w =", loss);
    for (int j = 0; j < K; j++) printf(" %.3f", w[j]);
    printf("\n");

    dlgrad_plan_free(forward);
    dlgrad_plan_free(backward);
    dlgrad_free((uint8_t *)x);
    dlgrad_free((uint8_t *)y);
    dlgrad_free((uint8_t *)w);
    return loss < 1e-6f ? 0 : 1;
}

// The function of bytes.h, for one instruction set: see level.inc.h.

// BYTES_ROWS by BYTES_PANEL sums find room in the registers where VNNI is.
enum { BYTES_ROWS = LANES == 16 ? 6 : 1, BYTES_VECS = BYTES_PANEL / LANES };

// dot adds to each sum the product of four bytes of x with four of w.
INLINE TARGET ivec dot(ivec sum, const uint8_t *x, ivec w) {
#ifdef VNNI
    int32_t four;
    memcpy(&four, x, sizeof four);
    ivec all = four - (ivec){0};
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(all), "v"(w)); // GCC 12 spills the sums around its builtin
#else
    for (int i = 0; i < BYTES_DEPTH; i++)
        sum += (w << (24 - 8 * i) >> 24) * (int32_t)x[i];
#endif
    return sum;
}

// bytes_tile is a panel of some rows: those of y are y_row apart. Rows that are not there are the last one again. It
// is not inlined: offset and scale would be kept in registers that the sums want.
static __attribute__((noinline)) TARGET void bytes_tile(const struct bytes_product *p, size_t row, size_t rows, size_t panel, const int32_t *offset, const float *scale,
                              float *y, size_t y_row) {
    const uint8_t *line[BYTES_ROWS];
    for (size_t r = 0; r < BYTES_ROWS; r++)
        line[r] = p->x + (row + (r < rows ? r : rows - 1)) * p->depth;
    ivec sum[BYTES_ROWS][BYTES_VECS] = {0};
    const int8_t *from = p->w + panel * p->depth;
    for (size_t k = 0; k < p->depth; k += BYTES_DEPTH, from += BYTES_PANEL * BYTES_DEPTH) {
        ivec w[BYTES_VECS];
        UNROLL for (size_t v = 0; v < BYTES_VECS; v++)
            w[v] = load_bits((const int32_t *)from + v * LANES);
        UNROLL for (size_t r = 0; r < BYTES_ROWS; r++)
            UNROLL for (size_t v = 0; v < BYTES_VECS; v++)
                sum[r][v] = dot(sum[r][v], line[r] + k, w[v]);
    }
    UNROLL for (size_t r = 0; r < BYTES_ROWS; r++) {
        if (r >= rows)
            break;
        UNROLL for (size_t v = 0; v < BYTES_VECS; v++) {
            vec numbers = __builtin_convertvector(sum[r][v] + load_bits(offset + v * LANES), vec);
            store(y + r * y_row + v * LANES, numbers * load(scale + v * LANES, LANES), LANES);
        }
    }
}

static TARGET void multiply_bytes(const struct bytes_product *p, size_t from, size_t to, float *y) {
    size_t panel = 0;
    for (; panel + BYTES_PANEL <= p->columns; panel += BYTES_PANEL)
        for (size_t row = from; row < to; row += BYTES_ROWS)
            bytes_tile(p, row, to - row, panel, p->offset + panel, p->scale + panel, y + (row - from) * p->columns + panel, p->columns);
    size_t left = p->columns - panel;
    if (!left)
        return;
    int32_t offset[BYTES_PANEL] = {0};
    float scale[BYTES_PANEL] = {0}, part[BYTES_ROWS * BYTES_PANEL];
    memcpy(offset, p->offset + panel, left * sizeof *offset);
    memcpy(scale, p->scale + panel, left * sizeof *scale);
    for (size_t row = from; row < to; row += BYTES_ROWS) {
        bytes_tile(p, row, to - row, panel, offset, scale, part, BYTES_PANEL);
        for (size_t r = 0; r < BYTES_ROWS && row + r < to; r++)
            memcpy(y + (row + r - from) * p->columns + panel, part + r * BYTES_PANEL, left * sizeof *y);
    }
}

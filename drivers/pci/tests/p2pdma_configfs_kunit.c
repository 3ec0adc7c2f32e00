// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite p2pdma_configfs: the text of configfs attributes such as p2pmem
 */

#include <kunit/test.h>

#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "mock_pci.h"
#include "p2pdma_kunit.h"

/* Value of a pointer before a call; a failing call must keep the value. */
#define UNTOUCHED	((struct pci_dev *)0x5a5a5a5aUL)

/*
 *	host bridge - RP -+- MEM (00.0): published memory
 *	                  +- HIDDEN (00.1): memory that is not published
 *	                  +- BARE (00.2): no memory
 *
 * Domain 1, bus 1.
 */
enum { HOST, RP, MEM, HIDDEN, BARE, NR };

static const struct mock_pci_row word_rows[NR] = {
	[HOST] = { .kind = MOCK_PCI_HOST, .domain = 1 },
	[RP] = { .kind = MOCK_PCI_ROOT_PORT },
	[MEM] = { .kind = MOCK_PCI_ENDPOINT, .up = RP, .devfn = 0,
		  .bar[0] = SZ_2M },
	[HIDDEN] = { .kind = MOCK_PCI_ENDPOINT, .up = RP, .devfn = 1,
		     .bar[0] = SZ_2M },
	[BARE] = { .kind = MOCK_PCI_ENDPOINT, .up = RP, .devfn = 2 },
};

static struct mock_pci *word_add(struct kunit *test)
{
	struct mock_pci *mock = mock_pci_add(test, word_rows, NR);

	p2pdma_kunit_provide(test, mock_pci_dev(mock, MEM));
	p2pdma_kunit_provide(test, mock_pci_dev(mock, HIDDEN));
	pci_p2pmem_publish(mock_pci_dev(mock, HIDDEN), false);
	return mock;
}

static unsigned int references(struct pci_dev *pdev)
{
	return kref_read(&pdev->dev.kobj.kref);
}

struct word_case {
	const char *word;
	bool on;
};

static const struct word_case word_cases[] = {
	{ "0", false }, { "1", true },
	{ "n", false }, { "y", true },
	{ "N", false }, { "Y", true },
	{ "no", false }, { "yes", true },
	{ "No", false }, { "YES", true },
	{ "off", false }, { "on", true },
	{ "OFF", false }, { "On", true },
	{ "f", false }, { "t", true },
	{ "F", false }, { "T", true },
	{ "false", false }, { "true", true },
	{ "False", false }, { "TRUE", true },
};

KUNIT_ARRAY_PARAM_DESC(word, word_cases, word);

static void store_boolean(struct kunit *test)
{
	const struct word_case *c = test->param_value;
	const char * const ends[] = { "", "\n" };
	struct pci_dev *pdev;
	unsigned int i;
	char text[16];
	bool use;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(text, sizeof(text), "%s%s", c->word, ends[i]);
		pdev = UNTOUCHED;
		use = !c->on;
		KUNIT_EXPECT_EQ(test,
				pci_p2pdma_enable_store(text, &pdev, &use), 0);
		KUNIT_EXPECT_NULL(test, pdev);
		KUNIT_EXPECT_EQ(test, use, c->on);
	}
}

struct garbage_case {
	const char *name;
	const char *text;
	int err;
};

static const struct garbage_case garbage_cases[] = {
	{ "nothing", "", -ENODEV },
	{ "just a newline", "\n", -ENODEV },
	{ "nonsense", "nonsense", -ENODEV },
	{ "two digits", "10", -ENODEV },
	{ "two zeros", "00", -ENODEV },
	{ "a number", "2", -ENODEV },
	{ "a negative number", "-1", -ENODEV },
	{ "hexadecimal", "0x1", -ENODEV },
	{ "a word and more", "onn", -ENODEV },
	{ "two words", "on off", -ENODEV },
	{ "a word cut short", "tru", -ENODEV },
	{ "a word that begins like another", "offer", -ENODEV },
	{ "a space before", " 1", -ENODEV },
	{ "a space after", "1 ", -ENODEV },
	{ "two newlines", "1\n\n", -ENODEV },
	{ "a newline in between", "1\n0", -ENODEV },
	{ "a domain and nothing else", "0000", -ENODEV },
	{ "a domain with its colon", "0000:", -ENODEV },
	{ "an address that begins with 0", "0000:ff:00.0", -ENODEV },
	{ "an address that begins with 1", "1000:ff:00.0", -ENODEV },
	{ "an address without domain", "01:00.0", -ENODEV },
	{ "an address without function", "0001:01:00", -ENODEV },
	{ "an address and more", "0001:01:00.0x", -ENODEV },
	{ "a space before an address", " 0001:01:00.0", -ENODEV },
	{ "an address in a line of its own", "\n0001:01:00.0", -ENODEV },
	{ "two addresses", "0001:01:00.0\n0001:01:00.0", -ENODEV },
	{ "a function that is not there", "0001:01:00.7", -ENODEV },
	{ "a function without memory", "0001:01:00.2", -ENODEV },
	{ "a function with unpublished memory", "0001:01:00.1\n", -ENODEV },
	{ "a bridge", "0001:00:00.0", -ENODEV },
};

static void expect_refused(struct kunit *test, const struct garbage_case *c,
			   bool use)
{
	struct pci_dev *pdev = UNTOUCHED;
	bool result = use;

	KUNIT_EXPECT_EQ_MSG(test,
			    pci_p2pdma_enable_store(c->text, &pdev, &result),
			    c->err, "%s", c->name);
	KUNIT_EXPECT_EQ_MSG(test, result, use, "%s", c->name);
	KUNIT_EXPECT_PTR_EQ_MSG(test, pdev, UNTOUCHED, "%s", c->name);
}

/* Not parameterized: building a hierarchy for every text would take longer. */
static void store_refused(struct kunit *test)
{
	struct mock_pci *mock = word_add(test);
	const unsigned int rows[] = { RP, MEM, HIDDEN, BARE };
	unsigned int before[ARRAY_SIZE(rows)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		before[i] = references(mock_pci_dev(mock, rows[i]));
	for (i = 0; i < ARRAY_SIZE(garbage_cases); i++) {
		expect_refused(test, &garbage_cases[i], false);
		expect_refused(test, &garbage_cases[i], true);
	}
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		KUNIT_EXPECT_EQ_MSG(test,
				    references(mock_pci_dev(mock, rows[i])),
				    before[i], "row %u", rows[i]);
}

static void store_long_text(struct kunit *test)
{
	struct pci_dev *pdev = UNTOUCHED;
	char *text = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	bool use = true;

	KUNIT_ASSERT_NOT_NULL(test, text);
	memset(text, '1', PAGE_SIZE - 1);
	text[PAGE_SIZE - 1] = '\0';
	KUNIT_EXPECT_EQ(test, pci_p2pdma_enable_store(text, &pdev, &use),
			-ENODEV);
	text[10] = ':';
	KUNIT_EXPECT_EQ(test, pci_p2pdma_enable_store(text, &pdev, &use),
			-ENODEV);
	KUNIT_EXPECT_PTR_EQ(test, pdev, UNTOUCHED);
	KUNIT_EXPECT_TRUE(test, use);
}

static void store_provider(struct kunit *test)
{
	struct mock_pci *mock = word_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	const char * const ends[] = { "", "\n" };
	unsigned int before = references(mem);
	struct pci_dev *pdev;
	unsigned int i;
	char text[32];
	bool use;

	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(text, sizeof(text), "%s%s", pci_name(mem), ends[i]);
		pdev = UNTOUCHED;
		use = false;
		KUNIT_ASSERT_EQ(test,
				pci_p2pdma_enable_store(text, &pdev, &use), 0);
		KUNIT_EXPECT_PTR_EQ(test, pdev, mem);
		KUNIT_EXPECT_TRUE(test, use);
		KUNIT_EXPECT_EQ(test, references(mem), before + 1);
		pci_dev_put(pdev);
	}
	KUNIT_EXPECT_EQ(test, references(mem), before);

	/* Only publication at the time of the call counts. */
	pci_p2pmem_publish(mem, false);
	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_enable_store(pci_name(mem), &pdev, &use),
			-ENODEV);
	pci_p2pmem_publish(mock_pci_dev(mock, HIDDEN), true);
	KUNIT_ASSERT_EQ(test,
			pci_p2pdma_enable_store("0001:01:00.1", &pdev, &use),
			0);
	KUNIT_EXPECT_PTR_EQ(test, pdev, mock_pci_dev(mock, HIDDEN));
	pci_dev_put(pdev);
}

/* The name of a provider finds nothing between unbind and the next bind. */
static void store_after_unbind(struct kunit *test)
{
	struct mock_pci *mock = word_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct pci_dev *pdev = UNTOUCHED;
	bool use = false;

	mock_pci_unbind(mem);
	KUNIT_EXPECT_EQ(test,
			pci_p2pdma_enable_store(pci_name(mem), &pdev, &use),
			-ENODEV);
	p2pdma_kunit_provide(test, mem);
	KUNIT_ASSERT_EQ(test,
			pci_p2pdma_enable_store(pci_name(mem), &pdev, &use), 0);
	pci_dev_put(pdev);
}

static void show_choice(struct kunit *test)
{
	struct mock_pci *mock = word_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	char *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, pci_p2pdma_enable_show(page, NULL, false), 2);
	KUNIT_EXPECT_STREQ(test, page, "0\n");
	KUNIT_EXPECT_EQ(test, pci_p2pdma_enable_show(page, NULL, true), 2);
	KUNIT_EXPECT_STREQ(test, page, "1\n");
	KUNIT_EXPECT_EQ(test, pci_p2pdma_enable_show(page, mem, true),
			strlen("0001:01:00.0\n"));
	KUNIT_EXPECT_STREQ(test, page, "0001:01:00.0\n");
	KUNIT_EXPECT_EQ(test, pci_p2pdma_enable_show(page, mem, false), 2);
	KUNIT_EXPECT_STREQ(test, page, "0\n");
}

static void show_and_store_agree(struct kunit *test)
{
	struct mock_pci *mock = word_add(test);
	struct pci_dev *mem = mock_pci_dev(mock, MEM);
	struct pci_dev * const chosen[] = { NULL, NULL, mem };
	const bool use[] = { false, true, true };
	char *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	struct pci_dev *pdev;
	unsigned int i;
	bool on;

	KUNIT_ASSERT_NOT_NULL(test, page);
	for (i = 0; i < ARRAY_SIZE(use); i++) {
		pci_p2pdma_enable_show(page, chosen[i], use[i]);
		KUNIT_ASSERT_EQ(test,
				pci_p2pdma_enable_store(page, &pdev, &on), 0);
		KUNIT_EXPECT_PTR_EQ(test, pdev, chosen[i]);
		KUNIT_EXPECT_EQ(test, on, use[i]);
		pci_dev_put(pdev);
	}
}

static struct kunit_case p2pdma_configfs_cases[] = {
	KUNIT_CASE_PARAM(store_boolean, word_gen_params),
	KUNIT_CASE(store_refused),
	KUNIT_CASE(store_long_text),
	KUNIT_CASE(store_provider),
	KUNIT_CASE(store_after_unbind),
	KUNIT_CASE(show_choice),
	KUNIT_CASE(show_and_store_agree),
	{}
};

static struct kunit_suite p2pdma_configfs_suite = {
	.name = "p2pdma_configfs",
	.test_cases = p2pdma_configfs_cases,
};

kunit_test_suite(p2pdma_configfs_suite);

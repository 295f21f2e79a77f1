"""Takes SECURITY.md and ARCHITECTURE.md into the site, without copies in docs/.

In the checkout, pages link to them as ../SECURITY.md. On the site they are pages
beside index.md. Links into the source become plain text there.
"""

import os
import re

from mkdocs.structure.files import File

TAKEN_IN = ("ARCHITECTURE.md", "SECURITY.md")


def on_files(files, config):
    root = os.path.dirname(config["config_file_path"])
    for name in TAKEN_IN:
        files.append(File(name, root, config["site_dir"], config["use_directory_urls"]))
    return files


def on_page_markdown(markdown, page, config, files):
    names = "|".join(re.escape(n) for n in TAKEN_IN)
    if page.file.src_path not in TAKEN_IN:
        markdown = re.sub(r"\]\(\.\./((?:\.\./)*(?:%s))" % names, r"](\1", markdown)
        up = "../" * (page.file.src_path.count("/") + 1)
        return re.sub(r"\[([^\]]*)\]\(%s[^)]*\)" % re.escape(up), r"\1", markdown)
    markdown = markdown.replace("](docs/", "](")
    return re.sub(r"\[([^\]]*)\]\((?!#|https?:|(?:%s)[#)]|[a-z/-]+\.md)[^)]*\)" % names, r"\1", markdown)
